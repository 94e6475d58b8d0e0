package wallet

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"akashi/attestation"
	"akashi/internal/dcql"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
	"akashi/internal/web"
)

// AnswerOptions is what the holder decides about an answer.
type AnswerOptions struct {
	Engagement string   // ID; "" when the wallet holds one
	Hide       []string // documents, by ID, and claims: of the engagement by path, of others as ID.path
	TrustAny   bool     // answer a verifier that nobody knows, or that is listed in other roles only
}

// Answer is what would go to the verifier, for the person to agree to.
type Answer struct {
	Documents []ShownDocument `json:"documents"`

	parts []part
}

// ShownDocument is a document that a verifier sees. Claims that cannot be withheld go along with every one.
type ShownDocument struct {
	ID     string   `json:"id"`
	Type   string   `json:"type"`
	Claims []string `json:"claims"` // paths of the claims that are disclosed
}

// part is one presentation of the answer.
type part struct {
	query *dcql.Credential
	holding
	disclose []dcql.Path
	confirms []string // elements of transaction_data
}

// ErrCannotAnswer is returned where the wallet does not hold what is asked for, or the holder withholds it. Nothing is sent.
var ErrCannotAnswer = errors.New("the wallet cannot give what is asked for, or not with that hidden")

// ErrWhichEngagement is returned where the holder must choose.
var ErrWhichEngagement = errors.New("the wallet holds several engagements: name one with --engagement ID")

// Answer chooses what to show: of each kind what the query takes, and of its alternatives the first that can be given. Where there is no answer, and
// the verifier is known, the error is a [*Rejection].
func (w *Wallet) Answer(ctx context.Context, a *Asking, o AnswerOptions) (*Answer, error) {
	if err := a.mayAsk(); err != nil && !o.TrustAny {
		return nil, err
	}
	answer, err := w.choose(ctx, a, o)
	switch {
	case err == nil:
		return answer, nil
	case !a.Known || errors.Is(err, ErrNoMatch) || errors.Is(err, ErrUnknownID) || errors.Is(err, ErrWhichEngagement):
		return nil, err // the holder is asked again
	}
	return nil, &Rejection{a, err}
}

func (w *Wallet) choose(ctx context.Context, a *Asking, o AnswerOptions) (*Answer, error) {
	h, err := w.holdings(ctx, o)
	if err != nil {
		return nil, err
	}
	h = slices.DeleteFunc(h, func(one holding) bool { return a.issuerAlg != nil && !slices.Contains(a.issuerAlg, one.alg) })
	candidates := make([]dcql.Candidate, len(h))
	for i := range h {
		candidates[i] = h[i].candidate
	}
	matches := a.request.Query.Match(candidates)
	for i := range a.request.Query.Credentials {
		c := &a.request.Query.Credentials[i]
		if opensMore(c) && slices.ContainsFunc(matches[c.ID], func(m dcql.Match) bool { return h[m.Candidate].typ == string(attestation.TypeEngagement) }) {
			return nil, ErrWidePath // of an engagement that also goes by another type (aka_vcts)
		}
	}
	choices, err := a.request.Query.Choose(matches)
	if err != nil {
		return nil, errors.Join(ErrCannotAnswer, err)
	}
	answer := &Answer{Documents: []ShownDocument{}}
	done := make(map[string]bool)
	for _, choice := range choices {
		for _, id := range choice.IDs {
			if done[id] {
				continue
			}
			done[id] = true
			if err := answer.add(a.request.Query.Credential(id), h, matches[id]); err != nil {
				return nil, err
			}
		}
	}
	return answer, answer.authorize(a.Transactions)
}

// add takes the first match, or with "multiple" all of them.
func (a *Answer) add(c *dcql.Credential, h []holding, matches []dcql.Match) error {
	isEngagement := func(m dcql.Match) bool { return h[m.Candidate].typ == string(attestation.TypeEngagement) }
	if !c.Multiple {
		if len(matches) > 1 && slices.ContainsFunc(matches, isEngagement) {
			return ErrWhichEngagement
		}
		matches = matches[:1]
	}
	for _, m := range matches {
		p := part{query: c, holding: h[m.Candidate], disclose: m.Disclose}
		shown := ShownDocument{ID: p.id, Type: p.typ, Claims: []string{}}
		for _, path := range p.disclose {
			shown.Claims = append(shown.Claims, join(path))
		}
		a.parts, a.Documents = append(a.parts, p), append(a.Documents, shown)
	}
	return nil
}

// holding is a document as the query sees it.
type holding struct {
	id, typ   string
	compact   string
	key       *keys.Private // it is bound to, nil for none
	alg       string        // by which it is signed
	candidate dcql.Candidate
}

// holdings returns everything that the wallet holds, without what is hidden. Every name to hide must match something: a mistyped one must not
// disclose what was to be hidden.
func (w *Wallet) holdings(ctx context.Context, o AnswerOptions) ([]holding, error) {
	if o.Engagement != "" {
		if _, err := w.engagement(ctx, o.Engagement); err != nil {
			return nil, err
		}
	}
	all, err := w.ownHoldings(ctx, o.Engagement)
	if err != nil {
		return nil, err
	}
	others, err := w.otherHoldings(ctx)
	if err != nil {
		return nil, err
	}
	var out []holding
	hide := presenting{used: map[string]bool{}}
	for _, h := range append(all, others...) {
		hidden := hide.below(o.Hide, h.id)
		if err := h.fill(func(path string) bool {
			if h.typ == string(attestation.TypeEngagement) && hide.below(o.Hide, path) {
				return true
			}
			return hide.below(o.Hide, h.id+"."+path)
		}); err != nil {
			return nil, fmt.Errorf("reading %s: %w", h.id, err)
		}
		if !hidden {
			out = append(out, h)
		}
	}
	for _, name := range o.Hide {
		if !hide.used[name] {
			return nil, fmt.Errorf("%w: %q", ErrNoMatch, name)
		}
	}
	return out, nil
}

// ownHoldings are the engagement, the attestations and the statements. With an ID other engagements are left out.
func (w *Wallet) ownHoldings(ctx context.Context, engagement string) ([]holding, error) {
	items, err := w.List(ctx)
	if err != nil {
		return nil, err
	}
	var out []holding
	for _, it := range items {
		if it.Type == attestation.TypeEngagement && engagement != "" && it.ID != engagement {
			continue
		}
		h := holding{id: it.ID, typ: string(it.Type), compact: it.SDJWT}
		if err := keys.DecodeJSON(it.Claims, &h.candidate.Claims); err != nil {
			return nil, fmt.Errorf("reading %s: %w", it.ID, err)
		}
		if _, bound := h.candidate.Claims["cnf"]; bound {
			h.key = w.holder
		}
		out = append(out, h)
	}
	return out, nil
}

// otherHoldings are the credentials of other types that have not run out and were not revoked: of copies that came together the one that was shown least often, so
// that verifiers cannot tell that they meet the same holder.
func (w *Wallet) otherHoldings(ctx context.Context) ([]holding, error) {
	held, err := w.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	receipts, err := w.Shown(ctx)
	if err != nil {
		return nil, err
	}
	times := make(map[string]int)
	for _, r := range receipts {
		for _, d := range r.Documents {
			times[d.ID]++
		}
	}
	best := make(map[string]int) // index in out by group
	var out []holding
	for _, c := range held {
		if c.Expires != nil && !w.Now().Before(*c.Expires) || c.Status == StatusRevoked {
			continue
		}
		h := holding{id: c.ID, typ: c.VCT, compact: c.SDJWT}
		if err := keys.DecodeJSON(c.Claims, &h.candidate.Claims); err != nil {
			return nil, fmt.Errorf("reading %s: %w", c.ID, err)
		}
		if h.key, err = w.boundKey(ctx, c.Key); err != nil {
			return nil, err
		}
		i, found := best[c.Group]
		switch {
		case !found || c.Group == "":
			best[c.Group] = len(out)
			out = append(out, h)
		case times[h.id] < times[out[i].id]:
			out[i] = h
		}
	}
	return out, nil
}

func (w *Wallet) boundKey(ctx context.Context, thumbprint string) (*keys.Private, error) {
	if thumbprint == "" {
		return nil, nil
	}
	var jwk json.RawMessage
	if err := w.Store.View(ctx, func(tx store.Tx) error { return store.GetJSON(tx, []byte(prefixKey+thumbprint), &jwk) }); err != nil {
		return nil, fmt.Errorf("reading the key of a credential: %w", err)
	}
	return keys.ParsePrivate(jwk)
}

// fill completes the candidate, without the claims that are hidden.
func (h *holding) fill(hidden func(path string) bool) error {
	c := &h.candidate
	c.Format, c.Bound = dcql.FormatSDJWTVC, h.key != nil
	vct, _ := c.Claims["vct"].(string)
	c.Types = []string{vct}
	also, _ := c.Claims["aka_vcts"].([]any)
	for _, t := range also {
		if t, ok := t.(string); ok {
			c.Types = append(c.Types, t)
		}
	}
	u, err := sdjwt.Parse(h.compact)
	if err != nil {
		return err
	}
	h.alg = u.Header().Alg
	if chain, err := u.Header().Chain(); err == nil {
		for _, certificate := range chain {
			if len(certificate.AuthorityKeyId) > 0 {
				c.KeyIDs = append(c.KeyIDs, base64.RawURLEncoding.EncodeToString(certificate.AuthorityKeyId))
			}
		}
	}
	_, err = sdjwt.Present(h.compact, func(path []any) bool {
		if hidden(join(path)) {
			forget(c.Claims, path)
		} else {
			c.Disclosed = append(c.Disclosed, slices.Clone(path))
		}
		return false
	})
	return err
}

// forget takes a claim out, as if the wallet did not have it. An element of an array leaves null in its place, so that the others keep theirs.
func forget(at any, path []any) {
	last := len(path) == 1
	switch step := path[0].(type) {
	case string:
		object, _ := at.(map[string]any)
		if last {
			delete(object, step)
		} else {
			forget(object[step], path[1:])
		}
	case int:
		array, _ := at.([]any)
		switch {
		case step >= len(array):
		case last:
			array[step] = nil
		default:
			forget(array[step], path[1:])
		}
	}
}

// present makes the presentation: what was chosen is disclosed, and the holder signs for this verifier where that is asked for.
func (p *part) present(a *Asking, now time.Time) (string, error) {
	chosen, err := sdjwt.Present(p.compact, func(path []any) bool {
		return slices.ContainsFunc(p.disclose, func(d dcql.Path) bool { return slices.Equal(d, path) })
	})
	if err != nil || !p.query.NeedsHolderBinding() {
		return chosen, err
	}
	further, err := oid4vc.TransactionClaims(p.confirms)
	if err != nil {
		return "", err
	}
	return sdjwt.BindKeyWith(chosen, p.key, a.ClientID, a.request.Nonce, now, further)
}

// Outcomes of a [Receipt].
const (
	OutcomeSent     = "sent"     // it is not known whether the verifier took it
	OutcomeAccepted = "accepted" // the verifier took it
	OutcomeRejected = "rejected" // the verifier has seen it, and did not take it
	OutcomeRefused  = "refused"  // the holder showed nothing
)

// Receipt says who saw what.
type Receipt struct {
	At        time.Time         `json:"at"`
	ClientID  string            `json:"client_id"`
	Host      string            `json:"host"`
	Entity    string            `json:"entity,omitempty"`
	Names     map[string]string `json:"names"`
	Known     bool              `json:"known"`
	Outcome   string            `json:"outcome"`
	Documents []ShownDocument   `json:"documents"`
}

// Send shows the answer to the verifier, and keeps a receipt. next is where the verifier wants to go on in the browser, "" for nowhere.
func (w *Wallet) Send(ctx context.Context, a *Asking, answer *Answer) (r *Receipt, next string, err error) {
	token, err := answer.token(a, w.Now())
	if err != nil {
		return nil, "", err
	}
	return w.respond(ctx, a, &oid4vc.VPResponse{Token: token, State: a.request.State}, w.receipt(a, OutcomeSent, answer.Documents))
}

// token makes the presentations.
func (answer *Answer) token(a *Asking, now time.Time) (oid4vc.VPToken, error) {
	token := make(oid4vc.VPToken)
	for i := range answer.parts {
		p := &answer.parts[i]
		presentation, err := p.present(a, now)
		if err != nil {
			return nil, fmt.Errorf("presenting %s: %w", p.id, err)
		}
		token[p.query.ID] = append(token[p.query.ID], presentation)
	}
	return token, nil
}

// Refuse tells the verifier that the holder shows nothing, and keeps a receipt. A stranger is told nothing.
func (w *Wallet) Refuse(ctx context.Context, a *Asking) (r *Receipt, next string, err error) {
	return w.refuse(ctx, a, oid4vc.CodeAccessDenied)
}

// Reject tells the verifier of a rejected request why it gets no answer, and keeps a receipt.
func (w *Wallet) Reject(ctx context.Context, rejected *Rejection) (r *Receipt, next string, err error) {
	return w.refuse(ctx, rejected.Asking, errorCode(rejected.Err))
}

// errorCode is what the verifier is told (OpenID4VP 1.0, Section 8.5). That the wallet does not hold what was asked for, and that the holder withholds
// it, look the same (Section 15.4.1).
func errorCode(err error) string {
	var refusal *oid4vc.Refusal
	switch {
	case errors.As(err, &refusal):
		return refusal.Code
	case errors.Is(err, ErrWidePath):
		return oid4vc.CodeInvalidRequest
	case errors.Is(err, ErrCannotAnswer):
		return oid4vc.CodeAccessDenied
	}
	return oid4vc.CodeWalletUnavailable
}

func (w *Wallet) refuse(ctx context.Context, a *Asking, code string) (*Receipt, string, error) {
	if err := a.mayAsk(); err != nil {
		return nil, "", err
	}
	refused := &oid4vc.VPResponse{Error: &oid4vc.ErrorResponse{Code: code}, State: a.request.State}
	return w.respond(ctx, a, refused, w.receipt(a, OutcomeRefused, []ShownDocument{}))
}

func (w *Wallet) receipt(a *Asking, outcome string, documents []ShownDocument) *Receipt {
	return &Receipt{At: w.Now().UTC(), ClientID: a.ClientID, Host: a.Host, Entity: a.Entity, Names: a.Names, Known: a.Known, Outcome: outcome, Documents: documents}
}

// respond posts a response. The receipt is stored before, since what was sent may have been seen whatever comes back.
func (w *Wallet) respond(ctx context.Context, a *Asking, response *oid4vc.VPResponse, r *Receipt) (*Receipt, string, error) {
	form, err := response.FormFor(a.request)
	if err != nil {
		return nil, "", err
	}
	keep, err := w.keeper(ctx, r)
	if err != nil {
		return nil, "", err
	}
	if err := keep(); err != nil {
		return nil, "", err
	}
	resp, err := w.Web.Do(ctx, web.Request{Method: http.MethodPost, URL: a.request.ResponseURI, Body: []byte(form.Encode()),
		Header: http.Header{"Content-Type": {oid4vc.MediaTypeForm}, "Accept": {oid4vc.MediaTypeJSON}, "User-Agent": {""}}})
	if err != nil {
		return r, "", err
	}
	var answered oid4vc.VPAnswer
	if resp.Status != http.StatusOK {
		err = oid4vc.ParseErrorResponse(resp.Status, resp.Body)
	} else if body, readErr := oid4vc.ParseVPAnswer(resp.Body); readErr != nil {
		err = readErr
	} else {
		answered = *body
	}
	switch {
	case r.Outcome == OutcomeRefused:
	case err == nil:
		r.Outcome = OutcomeAccepted
	default:
		r.Outcome = OutcomeRejected
	}
	return r, answered.RedirectURI, errors.Join(err, keep())
}

// keeper returns what stores a receipt, again where it has changed.
func (w *Wallet) keeper(ctx context.Context, r *Receipt) (func() error, error) {
	random := make([]byte, 8)
	if _, err := io.ReadFull(w.Rand, random); err != nil {
		return nil, err
	}
	key := []byte(prefixShown + r.At.Format("2006-01-02T15:04:05.000000000Z") + " " + hex.EncodeToString(random))
	return func() error {
		return w.Store.Update(context.WithoutCancel(ctx), func(tx store.Tx) error { return store.SetJSON(tx, key, r) })
	}, nil
}

// Shown returns the receipts, oldest first.
func (w *Wallet) Shown(ctx context.Context) ([]Receipt, error) {
	receipts := []Receipt{}
	err := w.Store.View(ctx, func(tx store.Tx) error {
		receipts = receipts[:0]
		return tx.Scan([]byte(prefixShown), func(_, value []byte) error {
			var r Receipt
			if err := json.Unmarshal(value, &r); err != nil {
				return err
			}
			receipts = append(receipts, r)
			return nil
		})
	})
	return receipts, err
}
