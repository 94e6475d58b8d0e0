package issuer

import "sync"

// maxRecent is the number of records that are kept in memory until they are sent; more are read from the store again.
const maxRecent = maxInFlight * batchSize

// recent holds records that were just stored, so that sending them need not read them from the store. It holds no record that differs from the
// stored one: a ladder in which records move is forgotten before they do.
type recent struct {
	mu     sync.Mutex
	bySlot map[string]recentRecord
	moved  map[ladder]bool
}

type recentRecord struct {
	record *record
	octets octets
}

// of returns the record in the slot.
func (f *recent) of(slot []byte) (recentRecord, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.bySlot[string(slot)]
	return r, ok && !f.moved[r.record.ladder()]
}

// add takes records that were stored, as far as there is room.
func (f *recent) add(orgID string, records []recentRecord) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bySlot == nil {
		f.bySlot = map[string]recentRecord{}
	}
	for _, r := range records {
		if len(f.bySlot) < maxRecent {
			f.bySlot[string(r.record.slot(orgID))] = r
		}
	}
}

// drop gives up records that were sent.
func (f *recent) drop(orgID string, records []*record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range records {
		delete(f.bySlot, string(r.slot(orgID)))
	}
}

// clear gives up all records.
func (f *recent) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.bySlot)
}

// forget gives up the records of a ladder, and those that may still be added.
func (f *recent) forget(l ladder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.moved == nil {
		f.moved = map[ladder]bool{}
	}
	f.moved[l] = true
}
