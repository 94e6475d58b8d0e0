package wallet

import (
	"context"
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
	// Hide leaves these documents out, by ID, and claims of the engagement, by path.
	Hide []string
}

// Present makes a presentation: each credential with a key binding JWT for the audience and nonce.
func (w *Wallet) Present(ctx context.Context, o PresentOptions) (*evidence.Presentation, error) {
	e, err := w.engagement(ctx, o.Engagement)
	if err != nil {
		return nil, err
	}
	p := new(evidence.Presentation)
	if p.Engagement, err = w.bind(e.SDJWT, o, o.keepClaim); err != nil {
		return nil, fmt.Errorf("presenting the engagement: %w", err)
	}
	if len(o.Show) > 0 {
		return p, nil
	}
	items, err := w.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		if it.Engagement != e.ID || it.ID == e.ID || slices.Contains(o.Hide, it.ID) {
			continue
		}
		if it.Type == attestation.TypeWorkerStatement {
			p.Statements = append(p.Statements, it.SDJWT)
			continue
		}
		bound, err := w.bind(it.SDJWT, o, func([]any) bool { return true })
		if err != nil {
			return nil, fmt.Errorf("presenting %s: %w", it.ID, err)
		}
		p.Attestations = append(p.Attestations, bound)
	}
	return p, nil
}

func (w *Wallet) bind(compact string, o PresentOptions, keep func(path []any) bool) (string, error) {
	chosen, err := sdjwt.Present(compact, keep)
	if err != nil {
		return "", err
	}
	return sdjwt.BindKey(chosen, w.holder, o.Audience, o.Nonce, w.Now())
}

// keepClaim decides on one disclosure of the engagement.
func (o PresentOptions) keepClaim(path []any) bool {
	parts := make([]string, len(path))
	for i, p := range path {
		parts[i] = fmt.Sprint(p)
	}
	at := strings.Join(parts, ".")
	below := func(paths []string) bool {
		return slices.ContainsFunc(paths, func(p string) bool { return at == p || strings.HasPrefix(at, p+".") })
	}
	return !below(o.Hide) && (len(o.Show) == 0 || below(o.Show))
}
