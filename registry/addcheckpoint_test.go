package registry

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func sampleAddCheckpoint(t testing.TB) AddCheckpoint {
	return AddCheckpoint{OldSize: 4, Proof: []Hash{HashOf([]byte("a")), HashOf([]byte("b"))}, Note: signCheckpoint(t, 9)}
}

func TestAddCheckpointLayout(t *testing.T) {
	r := sampleAddCheckpoint(t)
	a, b := HashOf([]byte("a")), HashOf([]byte("b"))
	want := "old 4\n" + base64.StdEncoding.EncodeToString(a[:]) + "\n" + base64.StdEncoding.EncodeToString(b[:]) + "\n\n" + string(r.Note)
	if got := string(r.Marshal()); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	back, err := ParseAddCheckpoint(r.Marshal())
	if err != nil || back.OldSize != 4 || !slices.Equal(back.Proof, r.Proof) || !bytes.Equal(back.Note, r.Note) {
		t.Errorf("got %+v, %v", back, err)
	}
}

func TestParseAddCheckpointRefuses(t *testing.T) {
	good := string(sampleAddCheckpoint(t).Marshal())
	h := base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n"
	for _, c := range []struct{ name, old, new string }{
		{"no old line", "old 4\n", ""},
		{"another word", "old 4", "Old 4"},
		{"two spaces", "old 4", "old  4"},
		{"leading zero", "old 4", "old 04"},
		{"negative", "old 4", "old -4"},
		{"plus", "old 4", "old +4"},
		{"too large", "old 4", "old 9223372036854775808"},
		{"no size", "old 4", "old"},
		{"proof line too short", "\n\n", "\nAAAA\n\n"},
		{"proof line in base64url", "old 4\n", "old 4\n" + strings.Repeat("-", 43) + "=\n"},
		{"carriage return", "old 4\n", "old 4\r\n"},
		{"64 proof lines", "old 4\n", "old 4\n" + strings.Repeat(h, 62)},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Fatalf("%s: nothing spoilt", c.name)
		}
		if _, err := ParseAddCheckpoint([]byte(text)); !errors.Is(err, ErrAddCheckpoint) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
	for _, text := range []string{"", "\n\n", "old 4\n", "old 4", strings.ReplaceAll(good, "\n\n", "\n")} {
		if _, err := ParseAddCheckpoint([]byte(text)); !errors.Is(err, ErrAddCheckpoint) {
			t.Errorf("%q: got %v", text, err)
		}
	}
	if _, err := ParseAddCheckpoint([]byte(strings.Replace(good, "old 4\n", "old 4\n"+strings.Repeat(h, 61), 1))); err != nil {
		t.Errorf("63 proof lines: %v", err)
	}
}

func TestRequestCosignature(t *testing.T) {
	want := sampleAddCheckpoint(t)
	var answer http.HandlerFunc
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.URL.Path != "/x/add-checkpoint" || !bytes.Equal(body, want.Marshal()) {
			t.Errorf("got %s %s", r.Method, r.URL.Path)
		}
		answer(w, r)
	}))
	defer srv.Close()
	ask := func(h http.HandlerFunc) ([]byte, error) {
		answer = h
		return RequestCosignature(context.Background(), srv.Client(), srv.URL+"/x/", want)
	}

	lines, err := ask(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "— line\n") })
	if err != nil || string(lines) != "— line\n" {
		t.Errorf("200: got %q, %v", lines, err)
	}
	var stale *StaleSizeError
	_, err = ask(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", TypeTreeSize)
		w.WriteHeader(http.StatusConflict)
		io.WriteString(w, "7\n")
	})
	if !errors.As(err, &stale) || stale.Size != 7 {
		t.Errorf("409: got %v", err)
	}
	_, err = ask(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", TypeTreeSize)
		w.WriteHeader(http.StatusConflict)
		io.WriteString(w, "seven\n")
	})
	if !errors.Is(err, ErrAnswer) {
		t.Errorf("409 without a size: got %v", err)
	}
	var p *Problem
	_, err = ask(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusConflict) })
	if !errors.As(err, &p) || p.Status != http.StatusConflict {
		t.Errorf("409 of another kind: got %v", err)
	}
	_, err = ask(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "bad proof", http.StatusUnprocessableEntity)
	})
	if !errors.As(err, &p) || p.Status != http.StatusUnprocessableEntity || p.Title != "bad proof" {
		t.Errorf("422: got %v", err)
	}
	_, err = ask(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, maxCosignature+1)) })
	if !errors.Is(err, ErrAnswer) {
		t.Errorf("endless answer: got %v", err)
	}
}

func FuzzParseAddCheckpoint(f *testing.F) {
	f.Add(sampleAddCheckpoint(f).Marshal())
	f.Add([]byte("old 0\n\nx\n"))
	f.Add([]byte("old 00\nAAAA\n\nx\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseAddCheckpoint(body)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Marshal(), body) {
			t.Fatal("accepted another spelling")
		}
	})
}
