package verifier

import (
	"context"
	"errors"
	"time"

	"akashi/attestation"
	"akashi/internal/evidence"
	"akashi/internal/sdjwt"
)

// Request is a presentation and what it was asked for.
type Request struct {
	Presentation evidence.Presentation
	Audience     string        // that the key bindings must name
	Nonce        string        // of the request
	Now          time.Time     // at which the presentation arrived
	MaxAge       time.Duration // how long before Now the key bindings may have been made; zero means [sdjwt.DefaultMaxAge]
	From, To     attestation.Period
	// From and To are the months to judge; "" leaves them to [evidence.Make].
	Memory *evidence.Memory // of what was verified of the presentation already, for Audience and Nonce at Now; nil for nothing
}

// ErrRequest is returned when the caller has not said what the presentation must be made for.
var ErrRequest = errors.New("a presentation can only be judged for a known audience, nonce and time")

// Assess checks that the holder made the presentation just now for this request, gathers the evidence under one head of the registry,
// and judges it. The result's checks end with what was presented and counts for nothing. An [evidence.CheckError] says which check
// the presentation or the registry failed.
func Assess(ctx context.Context, r Request, src evidence.Source, trust evidence.Trust) (*evidence.File, *evidence.Result, error) {
	f, _, result, err := assess(ctx, r, src, trust)
	return f, result, err
}

// assess is [Assess], and returns the file's encoding too.
func assess(ctx context.Context, r Request, src evidence.Source, trust evidence.Trust) (*evidence.File, []byte, *evidence.Result, error) {
	if r.Audience == "" || r.Nonce == "" || r.Now.IsZero() {
		return nil, nil, nil, ErrRequest
	}
	return evidence.MakeBytes(ctx, r.Presentation, src, trust, evidence.MakeOptions{
		From: r.From, To: r.To, Memory: r.Memory,
		KeyBinding: &sdjwt.ExpectKeyBinding{Audience: r.Audience, Nonce: r.Nonce, Now: r.Now, MaxAge: r.MaxAge},
	})
}
