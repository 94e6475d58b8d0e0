package issuer

import (
	"sync"
	"time"
)

// keyedMutex is one lock per key. The zero value is ready.
type keyedMutex struct{ locks sync.Map }

// lock takes the lock of key and returns what gives it back.
func (m *keyedMutex) lock(key string) (unlock func()) {
	v, _ := m.locks.LoadOrStore(key, &sync.Mutex{})
	mu := v.(*sync.Mutex)
	mu.Lock()
	return mu.Unlock
}

// lockWithin is lock for who waits no longer than that.
func (m *keyedMutex) lockWithin(key string, wait time.Duration) (unlock func(), ok bool) {
	v, _ := m.locks.LoadOrStore(key, &sync.Mutex{})
	mu := v.(*sync.Mutex)
	for end := time.Now().Add(wait); !mu.TryLock(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return nil, false
		}
	}
	return mu.Unlock, true
}
