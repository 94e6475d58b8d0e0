package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The process died between making a file and giving it a size.
func TestBadgerOpensOverUnbornFiles(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		for _, files := range [][]string{{"000099.vlog"}, {"00099.mem"}, {"000099.vlog", "00099.mem"}} {
			t.Run(fmt.Sprint(encrypted, files), func(t *testing.T) {
				dir := t.TempDir()
				var key []byte
				if encrypted {
					key = bytes.Repeat([]byte{1}, 32)
				}
				want := bytes.Repeat([]byte("v"), valueThreshold+1)
				for round := range 3 {
					s, err := OpenBadger(dir, key, nil)
					if err != nil {
						t.Fatalf("round %d: %v", round, err)
					}
					err = s.Update(context.Background(), func(tx Tx) error {
						if round > 0 {
							got, err := tx.Get([]byte{byte(round - 1)})
							if err != nil || !bytes.Equal(got, want) {
								return fmt.Errorf("round %d: %w", round, errors.Join(err, errors.New("value lost")))
							}
						}
						return tx.Set([]byte{byte(round)}, want)
					})
					if err := errors.Join(err, s.Close()); err != nil {
						t.Fatal(err)
					}
					if round == 0 {
						for _, name := range files {
							if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
								t.Fatal(err)
							}
						}
					}
				}
			})
		}
	}
}
