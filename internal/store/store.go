// Package store is the storage of every service: ordered keys and values behind one small transaction interface, with Badger on disk
// ([OpenBadger]) and memory ([NewMemory]) below it. Package storetest holds the suite that each must pass.
//
// Each user lays out its own keys, in one file of its own. Left out: queries, indexes, and anything that one of the two could not do.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Store holds values under keys. Its methods may be called from several goroutines.
//
// Transactions are closures, and must not be opened inside one another. A Tx, and nothing it returned, may be used only inside its
// function; the bytes it returned are copies and may be kept. An error from fn undoes everything and is returned as it is.
type Store interface {
	// View runs fn over the store as it is at one moment. Writing gives ErrReadOnly.
	View(ctx context.Context, fn func(Tx) error) error

	// Update runs fn, no two at a time, and makes its writes lasting and visible at once, when it returns nil. fn may be undone and run
	// again, on whatever goroutine, so it must have no effects outside the transaction; and all others wait for it, so it should do
	// nothing there that can be done before.
	Update(ctx context.Context, fn func(Tx) error) error

	// Close waits for running transactions. Later ones give ErrClosed.
	Close() error
}

// Tx is one transaction.
type Tx interface {
	// Get returns the value at key, or ErrNotFound.
	Get(key []byte) ([]byte, error)

	Set(key, value []byte) error

	// SetUntil sets a value that is gone from the given time on, to the second, by the clock of the machine and not by any clock that
	// a story or a test sets. It is for tidying up: what must not be used after a time has the time in its value.
	SetUntil(key, value []byte, expires time.Time) error

	// Delete removes the key; that it is not there is no error.
	Delete(key []byte) error

	// Scan calls fn for every key that begins with prefix, in the order of the bytes, as they are when Scan is called: the
	// transaction's own writes are among them, those that fn makes are not. When fn returns ErrStop the scan ends without error.
	Scan(prefix []byte, fn func(key, value []byte) error) error
}

var (
	// ErrNotFound is returned by Get for a key without a value.
	ErrNotFound = errors.New("store: key not found")
	// ErrStop ends a Scan early.
	ErrStop = errors.New("store: stop the scan")
	// ErrReadOnly is returned for writes inside View.
	ErrReadOnly = errors.New("store: write inside a read-only transaction")
	// ErrClosed is returned for transactions after Close.
	ErrClosed = errors.New("store: closed")
	// ErrTooBig is returned when a transaction writes more than fits into one: split it.
	ErrTooBig = errors.New("store: transaction too big, write in smaller parts")
	// ErrKey is returned for writing to a key that no store can hold.
	ErrKey = errors.New("store: key not usable")
)

const (
	maxKey         = 1024
	reservedPrefix = "!badger!" // Badger's own
)

func checkKey(key []byte) error {
	switch {
	case len(key) == 0:
		return fmt.Errorf("%w: empty", ErrKey)
	case len(key) > maxKey:
		return fmt.Errorf("%w: longer than %d bytes", ErrKey, maxKey)
	case strings.HasPrefix(string(key), reservedPrefix):
		return fmt.Errorf("%w: begins with %s", ErrKey, reservedPrefix)
	}
	return nil
}
