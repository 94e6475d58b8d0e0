package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"akashi/wallet"
)

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]string{
		"yes\n": "", "y\n": "", "YES\n": "", " はい \n": "", "yes": "",
		"no\n": "nothing was done", "yess\n": "nothing was done", "\n": "nothing was done", "いいえ\n": "nothing was done",
		"": "--yes answers for you",
	} {
		err := confirm(streams{in: strings.NewReader(answer), err: io.Discard}, "Do it?", "nothing was done")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", answer, err, want)
		}
	}
}

// TestQuestionsInARow: what is typed ahead, or piped, answers the next question.
func TestQuestionsInARow(t *testing.T) {
	s := streams{in: strings.NewReader("y\n4935\n"), err: io.Discard}
	if err := confirm(s, "Take it?", ""); err != nil {
		t.Fatal(err)
	}
	if line, err := readLine(s.in); line != "4935" || err != nil {
		t.Errorf("got %q, %v", line, err)
	}
	if _, err := readLine(strings.NewReader(strings.Repeat("x", 1<<20))); err != nil {
		t.Errorf("a line without end: %v", err)
	}
}

func TestUnknownAuthorityNamesTheFlag(t *testing.T) {
	unknown := fmt.Errorf("asking: %w", x509.UnknownAuthorityError{})
	if err := nameCA(unknown); !errors.Is(err, unknown) || !strings.Contains(err.Error(), "--ca") {
		t.Errorf("got %v", err)
	}
	if err := nameCA(wallet.ErrUnknownID); err != wallet.ErrUnknownID {
		t.Errorf("got %v", err)
	}
	if nameCA(nil) != nil {
		t.Error("an error out of nothing")
	}
}
