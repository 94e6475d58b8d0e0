package store

import (
	"context"
	"errors"
	"sync"
)

// group runs the Updates of a store whose commits are dear, since each waits for the disk. One function runs at a time, and those that
// came while the last commit was under way are committed together: however many there are, the disk is waited for once. Each still
// stands or falls by itself.
//
// Nobody works for the group in the background: of those that wait one has the turn, and commits for all.
type group struct {
	// commit runs the updates one after another and makes the writes of those whose functions return nil lasting, all or none. An error is
	// that of all of these; with ErrTooBig nothing was written.
	commit func(updates []*update) error

	turn chan struct{} // of capacity 1, full while somebody has the turn

	mu      sync.Mutex // guards waiting
	waiting []*update  // in the order in which they came
}

// maxGroup bounds how many share a commit, so that it stays within what a transaction may hold and none waits long for the others.
const maxGroup = 128

// update is one call of Update.
type update struct {
	ctx context.Context
	fn  func(Tx) error

	done     chan struct{} // closed when what follows is final
	err      error
	panicked any // by fn, which may run on the goroutine of another
}

// errGivenUp is the error of those whose group ended with a goroutine that somebody's function ended.
var errGivenUp = errors.New("store: the commit was given up, try again")

func newGroup(commit func([]*update) error) *group {
	return &group{commit: commit, turn: make(chan struct{}, 1)}
}

// update runs fn, sooner or later, and returns when what it wrote is lasting, or was undone.
func (g *group) update(ctx context.Context, fn func(Tx) error) error {
	u := &update{ctx: ctx, fn: fn, done: make(chan struct{}), err: errGivenUp}
	g.mu.Lock()
	g.waiting = append(g.waiting, u)
	g.mu.Unlock()
	for finished := false; !finished; {
		select {
		case <-u.done:
			finished = true
		case g.turn <- struct{}{}:
			g.lead()
		}
	}
	if u.panicked != nil {
		panic(u.panicked)
	}
	return u.err
}

// lead commits for those who wait now, and gives up the turn.
func (g *group) lead() {
	defer func() { <-g.turn }()
	g.mu.Lock()
	n := min(len(g.waiting), maxGroup)
	updates := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	g.mu.Unlock()
	whole := false
	defer func() {
		for _, u := range updates {
			if !whole && u.err == nil {
				u.err = errGivenUp
			}
			close(u.done)
		}
	}()
	g.together(updates)
	whole = true
}

// together commits the updates, each alone where they are too much for one transaction.
func (g *group) together(updates []*update) {
	if len(updates) == 0 {
		return
	}
	err := g.commit(updates)
	if errors.Is(err, ErrTooBig) && len(updates) > 1 {
		for _, u := range updates {
			g.together([]*update{u})
		}
		return
	}
	for _, u := range updates {
		if u.err == nil {
			u.err = err
		}
	}
}

// run runs fn over tx, and notes how it ended.
func (u *update) run(tx Tx) {
	if u.err = u.ctx.Err(); u.err != nil {
		return
	}
	u.err = errGivenUp // unless fn returns
	defer func() { u.panicked = recover() }()
	u.err = u.fn(tx)
}
