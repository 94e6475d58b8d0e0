package registry_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"akashi/registry"
	"akashi/registry/prefixmap"
)

// chainLog is a log in memory with its map.
type chainLog struct {
	entries [][]byte
	m       *prefixmap.Map
	chain   registry.HeadChain
	heads   []registry.HeadEntry
}

func newChainLog() *chainLog {
	return &chainLog{m: prefixmap.New(), chain: registry.NewHeadChain()}
}

func (l *chainLog) slot(text string) {
	k, v := registry.Key(registry.HashOf([]byte(text))), registry.Value(registry.HashOf([]byte(fmt.Sprint(text, len(l.entries)))))
	l.m.Insert(k, uint64(len(l.entries)), v)
	l.entries = append(l.entries, registry.SlotEntry{K: k, V: v}.Marshal())
}

func (l *chainLog) list() {
	l.chain.Lists++
	l.entries = append(l.entries, registry.ListEntry{N: l.chain.Lists}.Marshal())
}

// head logs a head that change has spoilt. The chain goes on as if it had been right.
func (l *chainLog) head(change func(*registry.HeadEntry)) {
	s := l.m.Snapshot()
	defer s.Release()
	h := l.chain.Next(uint64(len(l.entries)), uint64(s.Len()), s.Root(), 1000)
	l.chain.Add(h)
	if change != nil {
		change(&h)
	}
	l.heads = append(l.heads, h)
	l.entries = append(l.entries, h.Marshal())
}

// span returns the entries after head n, or all for -1, with the delta over them.
func (l *chainLog) span(t *testing.T, n int) (registry.Span, []byte) {
	t.Helper()
	span := registry.Span{Entries: l.entries}
	if n >= 0 {
		h := l.heads[n]
		span = registry.Span{Head: &h, Entries: l.entries[h.Covered+1:]}
	}
	s := l.m.Snapshot()
	defer s.Release()
	delta, err := registry.MakeMapDelta(span.From(), span.Slots(), func(k registry.Key) ([]byte, error) { return s.Prove(k), nil })
	if err != nil {
		t.Fatal(err)
	}
	return span, delta
}

func story() *chainLog {
	l := newChainLog()
	l.list()
	l.head(nil)
	for i := range 20 {
		l.slot(fmt.Sprint(i))
	}
	l.head(nil)
	l.slot("5") // taken
	l.entries = append(l.entries, []byte("nobody knows this form"))
	l.slot("20")
	l.head(nil)
	l.head(nil) // idle
	l.list()
	l.slot("21")
	return l
}

func TestSpanHolds(t *testing.T) {
	l := story()
	for n := -1; n < len(l.heads); n++ {
		span, delta := l.span(t, n)
		if err := span.Check(delta); err != nil {
			t.Errorf("after head %d: %v", n, err)
		}
	}
}

func TestSpanDiffers(t *testing.T) {
	tests := []struct {
		what  string
		spoil func(*chainLog)
	}{
		{"map root", func(l *chainLog) { l.head(func(h *registry.HeadEntry) { h.MapRoot[3] ^= 1 }) }},
		{"map size", func(l *chainLog) { l.head(func(h *registry.HeadEntry) { h.MapSize++ }) }},
		{"epoch", func(l *chainLog) { l.head(func(h *registry.HeadEntry) { h.Epoch++ }) }},
		{"covered index", func(l *chainLog) { l.head(func(h *registry.HeadEntry) { h.Covered-- }) }},
		{"trust list number", func(l *chainLog) { l.head(func(h *registry.HeadEntry) { h.ListN-- }) }},
		{"previous head index", func(l *chainLog) { l.head(func(h *registry.HeadEntry) { h.PrevIndex-- }) }},
		{"hash of the previous head", func(l *chainLog) { l.head(func(h *registry.HeadEntry) { h.PrevHash[0] ^= 1 }) }},
		{"trust list version", func(l *chainLog) { l.chain.Lists++; l.list() }},
		{"trust list version", func(l *chainLog) { l.chain.Lists--; l.list() }},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			l := story()
			at := uint64(len(l.entries))
			test.spoil(l)
			for n := -1; n < 4; n++ {
				span, delta := l.span(t, n)
				diff := new(registry.DifferenceError)
				if err := span.Check(delta); !errors.As(err, &diff) || diff.Index != at || !strings.Contains(diff.What, test.what) {
					t.Errorf("after head %d: got %v, want entry %d, %s", n, err, at, test.what)
				}
			}
		})
	}
}

// A delta that does not lead back says nothing about the log.
func TestSpanUndecided(t *testing.T) {
	l := story()
	l.head(nil)
	span, delta := l.span(t, 1)
	diff := new(registry.DifferenceError)
	for i := range delta {
		bad := bytes.Clone(delta)
		bad[i] ^= 1
		if err := span.Check(bad); err == nil || errors.As(err, &diff) {
			t.Fatalf("byte %d of the delta: got %v", i, err)
		}
	}
	span.Head.MapRoot[0] ^= 1
	if err := span.Check(delta); !errors.Is(err, registry.ErrDeltaBase) {
		t.Errorf("another map before: got %v, want ErrDeltaBase", err)
	}
}
