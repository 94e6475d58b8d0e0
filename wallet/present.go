package wallet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"akashi/attestation"
	"akashi/internal/evidence"
	"akashi/internal/sdjwt"
)

// PresentOptions says to whom the holder shows what.
type PresentOptions struct {
	Engagement      string // ID; "" when the wallet holds one
	Audience, Nonce string
	// Show limits what goes to the engagement with the claims at or below these paths, written slots.wage-bank or terms.payer_kana:
	// so the holder enrols with a bank. Empty shows every claim, all attestations and all statements.
	Show []string
	// Hide leaves out documents, by ID, claims of the engagement, by path, and claims of an attestation, as ID.path.
	Hide []string
}

// ErrNoMatch is returned when a name to show or hide matches nothing: a mistyped one must not disclose what was to be hidden.
var ErrNoMatch = errors.New("nothing has this name")

// Present makes a presentation: each credential with a key binding JWT for the audience and nonce.
func (w *Wallet) Present(ctx context.Context, o PresentOptions) (*evidence.Presentation, error) {
	if o.Audience == "" || o.Nonce == "" {
		return nil, errors.New("a presentation is made for one audience and its nonce: both are needed")
	}
	e, err := w.engagement(ctx, o.Engagement)
	if err != nil {
		return nil, err
	}
	p := presenting{w: w, o: o, used: map[string]bool{}}
	if p.out.Engagement, err = p.bind(e.SDJWT, p.keepTerm); err != nil {
		return nil, fmt.Errorf("presenting the engagement: %w", err)
	}
	if len(o.Show) == 0 {
		if err := p.addItems(ctx, e.ID); err != nil {
			return nil, err
		}
	}
	for _, name := range append(slices.Clone(o.Show), o.Hide...) {
		if !p.used[name] {
			return nil, fmt.Errorf("%w: %q", ErrNoMatch, name)
		}
	}
	return &p.out, nil
}

// presenting is one presentation being made.
type presenting struct {
	w    *Wallet
	o    PresentOptions
	used map[string]bool // names to show or hide that matched
	out  evidence.Presentation
}

// addItems adds the attestations and statements of the engagement.
func (p *presenting) addItems(ctx context.Context, engagement string) error {
	items, err := p.w.List(ctx)
	if err != nil {
		return err
	}
	for _, it := range items {
		if it.Engagement != engagement || it.ID == engagement || p.below(p.o.Hide, it.ID) {
			continue
		}
		if it.Type == attestation.TypeWorkerStatement {
			p.out.Statements = append(p.out.Statements, it.SDJWT)
			continue
		}
		bound, err := p.bind(it.SDJWT, func(path []any) bool { return !p.below(p.o.Hide, it.ID+"."+join(path)) })
		if err != nil {
			return fmt.Errorf("presenting %s: %w", it.ID, err)
		}
		p.out.Attestations = append(p.out.Attestations, bound)
	}
	return nil
}

func (p *presenting) bind(compact string, keep func(path []any) bool) (string, error) {
	chosen, err := sdjwt.Present(compact, keep)
	if err != nil {
		return "", err
	}
	return sdjwt.BindKey(chosen, p.w.holder, p.o.Audience, p.o.Nonce, p.w.Now())
}

// keepTerm decides on one disclosure of the engagement.
func (p *presenting) keepTerm(path []any) bool {
	at := join(path)
	return !p.below(p.o.Hide, at) && (len(p.o.Show) == 0 || p.below(p.o.Show, at))
}

// below reports whether something stands at or below one of the names.
func (p *presenting) below(names []string, at string) bool {
	found := false
	for _, name := range names {
		if at == name || strings.HasPrefix(at, name+".") {
			p.used[name], found = true, true
		}
	}
	return found
}

// join writes a path with dots.
func join(path []any) string {
	parts := make([]string, len(path))
	for i, p := range path {
		parts[i] = fmt.Sprint(p)
	}
	return strings.Join(parts, ".")
}
