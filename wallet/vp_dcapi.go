package wallet

import (
	"context"
	"encoding/json"
	"net/url"

	"akashi/internal/oid4vc"
)

// OpenCredentialRequest reads a request that came over the Digital Credentials API (OpenID4VP 1.0, Appendix A), of one of its protocols, from a page of
// the origin, which is what the platform says and never the request. It is answered with [Wallet.Credential], or [Wallet.RefuseCredential].
func (w *Wallet) OpenCredentialRequest(ctx context.Context, origin, protocol string, data json.RawMessage) (*Asking, error) {
	if err := oid4vc.CheckOrigin(origin); err != nil {
		return nil, err
	}
	u, err := oid4vc.ParseDCRequest(oid4vc.DCRequest{Protocol: protocol, Data: data})
	if err != nil {
		return nil, err
	}
	history, err := w.trust(ctx)
	if err != nil {
		return nil, err
	}
	v, rooted, err := w.verifyRequest(oid4vc.ExpectRequest{}, func(want oid4vc.ExpectRequest) (*oid4vc.VerifiedRequest, error) {
		return u.Verify(want, origin, func(v *oid4vc.VerifiedRequest) bool {
			return w.whoAsks(v, !want.AnyRoot && v.Leaf != nil, history.Latest()).Known
		})
	})
	if err != nil {
		return nil, err
	}
	page, err := url.Parse(origin)
	if err != nil {
		return nil, err
	}
	a := &Asking{Names: map[string]string{}} // an unsigned request is a stranger's
	if !v.Key.IsZero() {
		a = w.whoAsks(v, rooted, history.Latest())
	}
	a.ClientID, a.Host = oid4vc.OriginAudience(origin), page.Host
	if err := a.check(&v.PresentationRequest); err != nil {
		return nil, err
	}
	return a, nil
}

// Credential makes the answer for the page that asked, and keeps a receipt: whoever has it may see it. The platform hands it over.
func (w *Wallet) Credential(ctx context.Context, a *Asking, answer *Answer) (data json.RawMessage, r *Receipt, err error) {
	token, err := answer.token(a, w.Now())
	if err != nil {
		return nil, nil, err
	}
	return w.hand(ctx, a, &oid4vc.VPResponse{Token: token}, w.receipt(a, OutcomeSent, answer.Documents))
}

// RefuseCredential makes the answer that shows nothing, and keeps a receipt.
func (w *Wallet) RefuseCredential(ctx context.Context, a *Asking) (data json.RawMessage, r *Receipt, err error) {
	return w.hand(ctx, a, &oid4vc.VPResponse{Error: &oid4vc.ErrorResponse{Code: oid4vc.CodeAccessDenied}}, w.receipt(a, OutcomeRefused, []ShownDocument{}))
}

func (w *Wallet) hand(ctx context.Context, a *Asking, response *oid4vc.VPResponse, r *Receipt) (json.RawMessage, *Receipt, error) {
	data, err := response.Data(a.request)
	if err != nil {
		return nil, nil, err
	}
	keep, err := w.keeper(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	return data, r, keep()
}
