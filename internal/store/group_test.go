package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// fakeCommit is a store's commit whose functions write nothing.
type fakeCommit struct {
	group  *group
	limit  int // more updates than that are too big; 0 for none
	failed error
	sizes  []int // of the commits
}

func newFakeCommit() *fakeCommit {
	f := &fakeCommit{}
	f.group = newGroup(func(updates []*update) error {
		f.sizes = append(f.sizes, len(updates))
		for _, u := range updates {
			u.run(nil)
		}
		if f.limit > 0 && len(updates) > f.limit {
			return ErrTooBig
		}
		return f.failed
	})
	return f
}

// meet runs the functions as updates that wait for the end of another one, and returns their errors.
func (f *fakeCommit) meet(fns ...func(Tx) error) []error {
	errs := make([]error, len(fns))
	var all sync.WaitGroup
	f.group.turn <- struct{}{}
	for n, fn := range fns {
		all.Go(func() {
			errs[n] = errGivenUp
			errs[n] = f.group.update(context.Background(), fn)
		})
	}
	for waiting := 0; waiting < len(fns); runtime.Gosched() {
		f.group.mu.Lock()
		waiting = len(f.group.waiting)
		f.group.mu.Unlock()
	}
	<-f.group.turn
	all.Wait()
	return errs
}

func nothing(Tx) error { return nil }

func TestGroupSharesCommits(t *testing.T) {
	f := newFakeCommit()
	errs := f.meet(slices.Repeat([]func(Tx) error{nothing}, 2*maxGroup+1)...)
	if err := errors.Join(errs...); err != nil || !slices.Equal(f.sizes, []int{maxGroup, maxGroup, 1}) {
		t.Errorf("commits of %v updates: %v", f.sizes, err)
	}
}

func TestGroupFails(t *testing.T) {
	mine, disk := errors.New("mine"), errors.New("the disk is full")
	for _, c := range []struct {
		name    string
		spoil   func(*fakeCommit)
		want    []error // of one that is fine, one that is refused, one that is fine
		commits string
	}{
		{"nothing", func(*fakeCommit) {}, []error{nil, mine, nil}, "[3]"},
		{"the commit", func(f *fakeCommit) { f.failed = disk }, []error{disk, mine, disk}, "[3]"},
		{"too big together", func(f *fakeCommit) { f.limit = 2 }, []error{nil, mine, nil}, "[3 1 1 1]"},
		{"too big alone", func(f *fakeCommit) { f.failed = ErrTooBig }, []error{ErrTooBig, mine, ErrTooBig}, "[3 1 1 1]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakeCommit()
			c.spoil(f)
			errs := f.meet(nothing, func(Tx) error { return mine }, nothing)
			if fmt.Sprint(errs) != fmt.Sprint(c.want) || fmt.Sprint(f.sizes) != c.commits {
				t.Errorf("errors %v in commits of %v, want %v in %s", errs, f.sizes, c.want, c.commits)
			}
		})
	}
}

// A function that ends its goroutine, as a failed test does, leaves nobody waiting for ever.
func TestGroupOutlivesAGoroutine(t *testing.T) {
	f := newFakeCommit()
	for n, err := range f.meet(nothing, func(Tx) error { runtime.Goexit(); return nil }, nothing) {
		if !errors.Is(err, errGivenUp) {
			t.Errorf("update %d, whose commit never was: got %v", n, err)
		}
	}
	if errs := f.meet(nothing, nothing); errors.Join(errs...) != nil {
		t.Errorf("afterwards: %v", errs)
	}
}
