package issuer

import "sync"

// keyedMutex is one lock per key. The zero value is ready.
type keyedMutex struct{ locks sync.Map }

// lock takes the lock of key and returns what gives it back.
func (m *keyedMutex) lock(key string) (unlock func()) {
	v, _ := m.locks.LoadOrStore(key, &sync.Mutex{})
	mu := v.(*sync.Mutex)
	mu.Lock()
	return mu.Unlock
}
