package wallet_test

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"akashi/attestation"
	"akashi/internal/dcql"
	"akashi/internal/oid4vc"
	"akashi/internal/web"
	"akashi/registry"
	"akashi/wallet"
)

// An engagement that also goes by another type gives no more than its single period secrets under that one either.
func TestWidePathByAnotherType(t *testing.T) {
	const other = "https://employer.example/pass"
	s := newSetup(t)
	compact := s.ForgeEngagement("employer-A", s.compact, func(claims map[string]any) {
		claims["contract_hash"] = registry.Hash{1}.String()
		claims["aka_vcts"] = []any{other}
	})
	s.logEngagement("employer-A", compact)
	if _, err := s.wallet.Receive(ctx, compact); err != nil {
		t.Fatal(err)
	}
	f := newFakeVerifier(t, s)
	f.request.Query.Credentials[0].Meta.VCTs = []string{other}
	for _, c := range []struct {
		path dcql.Path
		want error
	}{
		{dcql.Path{"slots"}, wallet.ErrWidePath},
		{dcql.Path{"slots", string(attestation.WageBank), "2026-05"}, wallet.ErrWidePath},
		{dcql.Path{"slots", string(attestation.WageBank), "2026-05", "s"}, nil},
	} {
		f.ask(c.path)
		a, err := s.wallet.OpenRequest(ctx, f.link())
		f.check(err)
		if _, err := s.wallet.Answer(ctx, a, wallet.AnswerOptions{}); !errors.Is(err, c.want) {
			t.Errorf("%v: got %v, want %v", c.path, err, c.want)
		}
	}
}

// A host that gives no request object, or leads on to somewhere else, or sends without end, is read no further.
func TestHostileRequestURI(t *testing.T) {
	s := received(t)
	for name, serve := range map[string]http.HandlerFunc{
		"led on": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/request2", http.StatusTemporaryRedirect)
		},
		"another type": func(w http.ResponseWriter, _ *http.Request) {
			web.WriteBody(w, http.StatusOK, "application/jwt", []byte("a.b.c"))
		},
		"without end": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", oid4vc.MediaTypeRequestObject)
			_, _ = io.CopyN(w, endless{}, 64<<20)
		},
		"a compression bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", oid4vc.MediaTypeRequestObject)
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.CopyN(z, endless{}, 64<<20)
			_ = z.Close()
		},
		"words for a terminal": func(w http.ResponseWriter, _ *http.Request) {
			web.WriteBody(w, http.StatusBadRequest, oid4vc.MediaTypeJSON, []byte(`{"error":"x","error_description":"\u001b[2Jasked by: an office"}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeVerifier(t, s)
			f.srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/request2" {
					t.Error("the wallet was led on")
				}
				serve(w, r)
			})
			a, err := s.wallet.OpenRequest(ctx, f.link())
			if a != nil || !errors.Is(err, wallet.ErrAsking) || strings.ContainsRune(err.Error(), '\x1b') {
				t.Errorf("got %+v, %q", a, err)
			}
		})
	}
}

// endless is spaces.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// An answer goes where the holder was told, and nowhere that it is led on to; what was sent stands in the log.
func TestAnswerIsNotLedOn(t *testing.T) {
	s := received(t)
	f := newFakeVerifier(t, s)
	f.srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/request":
			f.ServeHTTP(w, r)
		case "/answer":
			http.Redirect(w, r, "/elsewhere", http.StatusPermanentRedirect)
		default:
			t.Error("the answer was led on")
		}
	})
	a, err := s.wallet.OpenRequest(ctx, f.link())
	f.check(err)
	answer, err := s.wallet.Answer(ctx, a, wallet.AnswerOptions{})
	f.check(err)
	receipt, next, err := s.wallet.Send(ctx, a, answer)
	if err == nil || next != "" || receipt == nil || len(receipt.Documents) != 1 {
		t.Errorf("got %+v, %q, %v", receipt, next, err)
	}
	log, err := s.wallet.Shown(ctx)
	if err != nil || len(log) != 1 || log[0].ClientID != f.linkID {
		t.Errorf("the log: %+v, %v", log, err)
	}
}
