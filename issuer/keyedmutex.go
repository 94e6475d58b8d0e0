package issuer

import (
	"sync"
	"time"
)

// keyedMutex is one lock per key. The zero value is ready.
type keyedMutex struct{ locks sync.Map }

// of returns the lock of key: whoever has put something into the channel holds it.
func (m *keyedMutex) of(key string) chan struct{} {
	held, _ := m.locks.LoadOrStore(key, make(chan struct{}, 1))
	return held.(chan struct{})
}

// lock takes the lock of key and returns what gives it back.
func (m *keyedMutex) lock(key string) (unlock func()) {
	held := m.of(key)
	held <- struct{}{}
	return func() { <-held }
}

// lockWithin is lock for who waits no longer than that.
func (m *keyedMutex) lockWithin(key string, wait time.Duration) (unlock func(), ok bool) {
	held, timer := m.of(key), time.NewTimer(wait)
	defer timer.Stop()
	select {
	case held <- struct{}{}:
		return func() { <-held }, true
	case <-timer.C:
		return nil, false
	}
}
