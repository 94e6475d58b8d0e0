package verifier

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/dcql"
	"akashi/internal/evidence"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
	"akashi/internal/web"
	"akashi/registry/trustlist"
)

// serveResponse takes what a wallet sends and verifies it at once. Whatever comes is the one response to the request: when it does not verify the
// session has failed, since nobody who has not read the request object knows this address.
func (v *VP) serveResponse(w http.ResponseWriter, r *http.Request) {
	answer, err := v.processResponse(r)
	if err != nil {
		web.WriteOAuthError(w, r, err, oid4vc.CodeInvalidRequest, v.Log)
		return
	}
	web.WriteJSON(w, http.StatusOK, answer)
}

func (v *VP) processResponse(r *http.Request) (*oid4vc.VPAnswer, error) {
	_, answer, err := v.respond(r, func(s *session) bool { return !isDCAPI(s.Mode) }, func(s *session, key oid4vc.ResponseKey) (*oid4vc.VPResponse, error) {
		form, err := web.ReadForm(r)
		if err != nil {
			return nil, err
		}
		return oid4vc.ReadVPResponse(form, key, s.Exchange.State)
	})
	return answer, err
}

// respond claims the session that a response is for, if may allows it, and verifies what read makes of the response.
func (v *VP) respond(r *http.Request, may func(*session) bool, read func(*session, oid4vc.ResponseKey) (*oid4vc.VPResponse, error)) (*session, *oid4vc.VPAnswer, error) {
	ctx := r.Context()
	s, err := v.claim(ctx, mux.Vars(r)["id"], may)
	if err != nil {
		return nil, nil, err
	}
	answer, file, err := v.take(ctx, s, read)
	if err != nil {
		s.end(Failed, reasonOf(err))
		v.Log.InfoContext(ctx, "a presentation was refused", "reason", s.Reason)
		file = nil
	}
	if stored := v.settle(ctx, s, file); stored != nil {
		return nil, nil, fmt.Errorf("storing a session: %w", stored)
	}
	return s, answer, answerable(err)
}

// answerable gives an error that is the response's fault an answer of 4xx; what is our own fault stays as it is.
func answerable(err error) error {
	var known interface {
		OAuthError() (status int, code, description string)
	}
	reason := reasonOf(err)
	if err == nil || errors.As(err, &known) || reason == reasonInternal || strings.HasPrefix(reason, "response.") {
		return err // those of reading the form are known to package web
	}
	return refuseResponse(reason, "the presentation does not verify", err)
}

// take verifies the response to a claimed session, and leaves in the session how it goes on.
func (v *VP) take(ctx context.Context, s *session, read func(*session, oid4vc.ResponseKey) (*oid4vc.VPResponse, error)) (*oid4vc.VPAnswer, []byte, error) {
	key, err := s.Exchange.responseKey()
	if err != nil {
		return nil, nil, err
	}
	response, err := read(s, key)
	if err != nil {
		return nil, nil, err
	}
	if response.Error != nil {
		s.end(Refused, response.Error.Code)
		return v.leadBack(s), nil, nil
	}
	memory := evidence.NewMemory()
	presented, err := v.verifyToken(ctx, s, response.Token, memory)
	if err != nil {
		return nil, nil, err
	}
	var file []byte
	if s.Assessment == nil {
		s.Result = queryResult{presented.byID()}
	} else {
		file, err = v.advance(ctx, s, presented, memory)
	}
	if err != nil {
		return nil, nil, err
	}
	if !s.leadsBack() {
		return &oid4vc.VPAnswer{}, file, v.proceed(s)
	}
	s.Status = Returning
	return v.leadBack(s), file, nil
}

// leadBack makes the answer to a wallet: on the same device, where the browser goes on with a fresh response code (HAIP 1.0, Section 5.1), and that
// after a refusal too, so that nobody is left behind in the wallet.
func (v *VP) leadBack(s *session) *oid4vc.VPAnswer {
	if !s.leadsBack() {
		return &oid4vc.VPAnswer{}
	}
	code := random()
	s.Code = hashed(code)
	return &oid4vc.VPAnswer{RedirectURI: v.URL + pathReturn + "?" + url.Values{"session": {s.ID}, "response_code": {code}}.Encode()}
}

// proceed goes on after a good response: to the second request of an assessment, or to the end.
func (v *VP) proceed(s *session) error {
	if s.Assessment == nil || s.Result != nil {
		s.end(Answered, "")
		return nil
	}
	s.Assessment.Step, s.Status, s.Code = 2, Waiting, ""
	return v.nextExchange(s, s.Exchange.query())
}

var (
	errReturn      = &refusal{status: http.StatusBadRequest, code: oid4vc.CodeInvalidRequest, text: "the response code is unknown or was used", reason: "return.code"}
	errOtherReturn = &refusal{status: http.StatusForbidden, code: oid4vc.CodeAccessDenied, text: "this browser did not begin the request: nothing is shown here", reason: "return.browser"}
)

// serveReturn is where the wallet leads the browser of the same device. Only in the browser session that began does the session go on; anywhere
// else somebody was made to answer another's request, and the session fails.
func (v *VP) serveReturn(w http.ResponseWriter, r *http.Request) {
	out, err := v.processReturn(r)
	if err != nil {
		web.WriteOAuthError(w, r, err, oid4vc.CodeInvalidRequest, v.Log)
		return
	}
	web.WriteJSON(w, http.StatusOK, out)
}

func (v *VP) processReturn(r *http.Request) (*View, error) {
	query := r.URL.Query()
	s, err := v.read(r.Context(), query.Get("session"))
	if err != nil {
		return nil, err
	}
	if s.Status != Returning && s.Status != Refused || !sameSecret(s.Code, hashed(query.Get("response_code"))) {
		return nil, errReturn
	}
	used := s.Code
	var refused error
	switch mine := sameSecret(s.Browser, hashed(browserOf(r))); {
	case !mine:
		refused = errOtherReturn
		s.end(Failed, errOtherReturn.reason)
	case s.Status == Refused:
		s.Code = ""
	default:
		if err := v.proceed(s); err != nil {
			return nil, err
		}
	}
	if err := v.redeem(r.Context(), s, used); err != nil {
		return nil, err
	}
	if refused != nil {
		return nil, refused
	}
	return v.view(s)
}

// presentation is one that was verified.
type presentation struct {
	query    *dcql.Credential
	compact  string
	verified *sdjwt.Verified
	public   credentialResult // for a query of the operator's own

	transactions []int // places of the elements of transaction_data that it confirms
}

// presentations are the verified ones of a response, in the order of the query.
type presentations []presentation

func (p presentations) of(id string) []presentation {
	return slices.DeleteFunc(slices.Clone(p), func(one presentation) bool { return one.query.ID != id })
}

// have tells whether the same credential answers the same query already: it counts once, however often it is shown.
func (p presentations) have(one *presentation) bool {
	return slices.ContainsFunc(p, func(o presentation) bool { return o.query == one.query && o.verified.ID == one.verified.ID })
}

func (p presentations) byID() map[string][]credentialResult {
	out := make(map[string][]credentialResult)
	for _, one := range p {
		out[one.query.ID] = append(out[one.query.ID], one.public)
	}
	return out
}

// queryResult is the result of a query of the operator's own.
type queryResult struct {
	Credentials map[string][]credentialResult `json:"credentials"`
}

// credentialResult is what a verified presentation says.
type credentialResult struct {
	ID     string             `json:"id"`
	VCT    string             `json:"vct"`
	Issuer string             `json:"issuer,omitempty"` // id on the trust list; "" for one known by an authority of the operator's
	Claims json.RawMessage    `json:"claims"`           // processed: what the issuer signed and the holder disclosed
	Checks []compliance.Check `json:"checks"`
}

// verifyToken verifies every presentation by itself and then the set as a whole (OpenID4VP 1.0, Section 8.6). One that does not verify is left out;
// where the rest does not satisfy the query, its error is that of the response.
func (v *VP) verifyToken(ctx context.Context, s *session, token oid4vc.VPToken, memory *evidence.Memory) (presentations, error) {
	q := s.Exchange.query()
	counts := make(map[string]int)
	for id, compacts := range token {
		counts[id] = len(compacts)
	}
	if err := q.CheckCounts(counts); err != nil {
		return nil, err
	}
	lists, err := v.trustLists(ctx, memory)
	if err != nil {
		return nil, err
	}
	known := verifiedSoFar{lists: lists, memory: memory, binding: sdjwt.ExpectKeyBinding{Audience: v.audience(s), Nonce: s.Exchange.Nonce, Now: v.Now()}}
	var out presentations
	var first error
	for i := range q.Credentials { // the engagement before the statements
		c := &q.Credentials[i]
		for _, compact := range token[c.ID] {
			known.presented = out
			one, err := v.verifyOne(ctx, s, c, compact, &known)
			switch {
			case err == nil && out.have(one):
			case err == nil:
				out = append(out, *one)
			case errors.Is(err, sdjwt.ErrKeyBindingNonce):
				return nil, err // made for another request: none of the response counts (Section 14.1.2)
			case first == nil:
				first = err
			}
		}
	}
	var answered []string
	for _, one := range out {
		answered = append(answered, one.query.ID)
	}
	if err := q.CheckAnswer(answered); err != nil || len(out) == 0 {
		return nil, errors.Join(first, err)
	}
	for n := range s.TransactionData { // one of the credentials that an element names is enough (Section 5.1)
		if !slices.ContainsFunc(out, func(one presentation) bool { return slices.Contains(one.transactions, n) }) {
			return nil, errors.Join(first, oid4vc.ErrVPTransactionHashes)
		}
	}
	return out, nil
}

// trustLists returns the versions of the trust list, the newest first. For a query of the operator's own only that one counts.
func (v *VP) trustLists(ctx context.Context, memory *evidence.Memory) ([]*trustlist.List, error) {
	answer, err := v.Registry.TrustLists(ctx)
	if err != nil {
		return nil, registryDown(err)
	}
	var lists []*trustlist.List
	for _, item := range slices.Backward(answer.Lists) {
		list, err := memory.List(item.JWT, v.Trust.Anchor)
		if err != nil {
			return nil, registryDown(err)
		}
		lists = append(lists, list)
	}
	return lists, nil
}

func registryDown(err error) error {
	return &refusal{status: http.StatusServiceUnavailable, code: oid4vc.CodeTemporarilyUnavailable, text: "the registry cannot be asked just now", reason: "registry.unavailable", because: err}
}

// verifyOne verifies one presentation: by whom it is signed, that it is intact and made for this request by its holder, and that it is what was asked.
func (v *VP) verifyOne(ctx context.Context, s *session, q *dcql.Credential, compact string, known *verifiedSoFar) (*presentation, error) {
	u, err := sdjwt.Parse(compact)
	if err != nil {
		return nil, err
	}
	signer, err := v.signerOf(s, q, u, known)
	if err != nil {
		return nil, err
	}
	want := sdjwt.Expect{Algs: []keys.Alg{keys.ES256, keys.EdDSA}}
	if s.Assessment == nil {
		want.Now = v.Now() // an attestation of the past stays true; whether it counts is judged with the registry
	}
	bound := q.NeedsHolderBinding() || u.KeyBinding() != "" // one that was not asked for must hold as well
	if bound {
		want.KeyBinding = &known.binding
	}
	verified, err := u.Verify(signer.key, want)
	if err != nil {
		return nil, err
	}
	known.memory.Remember(compact, u, signer.key, verified)
	if signer.issuer != "" && verified.Claims["iss"] != signer.issuer {
		return nil, refuseResponse("credential.issuer", "a credential is not from the issuer whose key signed it", nil)
	}
	if err := s.Exchange.query().CheckPresentation(q.ID, candidateOf(verified, bound)); err != nil {
		return nil, err
	}
	if s.Assessment == nil && signer.entity != nil { // an assessment goes by the registry
		if err := checkAccredited(signer, verified, v.Now()); err != nil {
			return nil, err
		}
	}
	var transactions []int
	if bound {
		if transactions, err = oid4vc.ConfirmedTransactions(u.KeyBinding(), q.ID, s.TransactionData); err != nil {
			return nil, err
		}
	}
	one := &presentation{query: q, compact: compact, verified: verified, transactions: transactions}
	if s.Assessment == nil {
		status, err := v.checkStatus(ctx, signer, verified, known.lists)
		if err != nil {
			return nil, err
		}
		one.public = resultOf(verified, signer.id, status)
	}
	return one, nil
}

// signer is who signed a credential.
type signer struct {
	id, issuer string            // of the trust list
	entity     *trustlist.Entity // nil for one that is not listed
	key        keys.Public
}

// checkAccredited checks that a listed signer may attest the type, as far as types are accredited at all, on the day on which the credential says that it
// was issued, and that the key was never reported as compromised: without the registry nobody knows what was signed before.
func checkAccredited(s signer, c *sdjwt.Verified, now time.Time) error {
	if slices.ContainsFunc(s.entity.Compromised, func(k trustlist.Compromise) bool { return k.Kid == c.Header.Kid || k.Kid == s.key.Thumbprint() }) {
		return refuseResponse("issuer.compromised", "the key that signed a credential was reported as compromised", nil)
	}
	day := attestation.DateOf(now)
	if issued, ok := c.Claims["iat"].(json.Number); ok {
		seconds, err := issued.Float64()
		if err != nil {
			return sdjwt.ErrClaim
		}
		day = attestation.DateOf(time.Unix(int64(seconds), 0))
	}
	vct, _ := c.Claims["vct"].(string)
	t, err := attestation.TypeOf(vct)
	if err != nil { // a type of the operator's own: the listing alone counts
		if day.Before(s.entity.From) || !s.entity.Until.IsZero() && day.After(s.entity.Until) {
			return trustlist.ErrNotAccredited
		}
		return nil
	}
	if slices.ContainsFunc(s.entity.Roles, func(r attestation.Role) bool { return s.entity.MayAttest(t, r, day) == nil }) {
		return nil
	}
	return trustlist.ErrNotAccredited
}

// verifiedSoFar is what signers are known by, what need not be verified again, and what the presentations must be made for.
type verifiedSoFar struct {
	lists     []*trustlist.List // newest first
	presented presentations
	memory    *evidence.Memory
	binding   sdjwt.ExpectKeyBinding
}

// signerOf finds the key to verify with: on the trust list, or for a query of the operator's own under one of the operator's authorities. In an
// assessment a worker's statement is signed by the holder, whom the engagement names.
func (v *VP) signerOf(s *session, q *dcql.Credential, u *sdjwt.Unverified, known *verifiedSoFar) (signer, error) {
	header, at, lists := u.Header(), v.Now(), known.lists
	if s.Assessment != nil && q.ID == idStatements {
		for _, engagement := range known.presented.of(idEngagement) {
			return signer{key: engagement.verified.Holder}, nil
		}
		return signer{}, trustlist.ErrUnknownKey
	}
	if s.Assessment == nil {
		return v.signerByHeader(header, at, lists)
	}
	if last, ok := trustlist.LastValid(header); ok && last.Before(at) {
		at = last // the registry tells when it was signed
	}
	return signerOnLists(header, at, lists)
}

// signerByHeader finds a signer on the newest trust list or under an authority of the operator's.
func (v *VP) signerByHeader(header keys.UnverifiedHeader, at time.Time, lists []*trustlist.List) (signer, error) {
	found, err := signerOnLists(header, at, lists[:min(1, len(lists))])
	if err != nil && len(header.X5C) > 0 && len(v.Roots) > 0 {
		if key, _, chainErr := keys.VerifyChain(header.X5C, v.Roots, at); chainErr == nil {
			return signer{key: key}, nil
		}
	}
	return found, err
}

func signerOnLists(header keys.UnverifiedHeader, at time.Time, lists []*trustlist.List) (signer, error) {
	err := error(trustlist.ErrUnknownKey)
	for _, list := range lists {
		entity, key, lookupErr := list.EntityForHeader(header, at)
		if lookupErr == nil {
			return signer{entity.ID, entity.Issuer, entity, key}, nil
		}
		err = lookupErr
	}
	return signer{}, err
}

// candidateOf is a verified credential as DCQL sees it.
func candidateOf(c *sdjwt.Verified, bound bool) dcql.Candidate {
	out := dcql.Candidate{Format: dcql.FormatSDJWTVC, Bound: bound, Claims: c.Claims, Disclosed: make([]dcql.Path, len(c.Disclosed))}
	for i := range c.Disclosed {
		out.Disclosed[i] = c.Disclosed[i].Path
	}
	if vct, ok := c.Claims["vct"].(string); ok {
		out.Types = append(out.Types, vct)
	}
	if also, ok := c.Claims["aka_vcts"].([]any); ok {
		for _, t := range also {
			if t, ok := t.(string); ok {
				out.Types = append(out.Types, t)
			}
		}
	}
	if chain, err := c.Header.Chain(); err == nil {
		for _, certificate := range chain {
			if len(certificate.AuthorityKeyId) > 0 {
				out.KeyIDs = append(out.KeyIDs, base64.RawURLEncoding.EncodeToString(certificate.AuthorityKeyId))
			}
		}
	}
	return out
}

// CodePresentation is the check that signatures, digests, holder binding and query hold. The codes of what fails are those of the sessions' reasons.
const CodePresentation = "presentation.verified"

func resultOf(c *sdjwt.Verified, issuer string, status *compliance.Check) credentialResult {
	vct, _ := c.Claims["vct"].(string)
	out := credentialResult{ID: c.ID, VCT: vct, Issuer: issuer, Claims: c.ClaimsJSON(), Checks: []compliance.Check{{Code: CodePresentation, Result: compliance.Pass}}}
	if status != nil {
		out.Checks = append(out.Checks, *status)
	}
	return out
}

// reasons gives each broken rule its stable code, the first that fits.
var reasons = []struct {
	err    error
	reason string
}{
	{oid4vc.ErrVPResponseState, "response.state"}, {oid4vc.ErrVPResponsePlain, "response.not_encrypted"}, {oid4vc.ErrVPResponseEncrypted, "response.encrypted"},
	{oid4vc.ErrVPResponseDecrypt, "response.decrypt"}, {oid4vc.ErrVPToken, "response.vp_token"}, {oid4vc.ErrVPResponse, "response.form"},
	{sdjwt.ErrKeyBindingMissing, "kb.missing"}, {sdjwt.ErrKeyBindingUnexpected, "kb.unexpected"}, {sdjwt.ErrKeyBindingNoKey, "kb.no_key"},
	{sdjwt.ErrKeyBindingSignature, "kb.signature"}, {sdjwt.ErrKeyBindingType, "kb.type"}, {sdjwt.ErrKeyBindingClaims, "kb.claims"},
	{sdjwt.ErrKeyBindingIat, "kb.iat"}, {sdjwt.ErrKeyBindingAudience, "kb.audience"}, {sdjwt.ErrKeyBindingNonce, "kb.nonce"},
	{sdjwt.ErrKeyBindingSDHash, "kb.sd_hash"}, {sdjwt.ErrKeyBinding, "kb"},
	{keys.ErrSignature, "credential.signature"}, {keys.ErrAlgorithm, "credential.algorithm"}, {keys.ErrCritical, "credential.header"},
	{sdjwt.ErrUnreferencedDisclosure, "disclosure.unreferenced"}, {sdjwt.ErrDigestTwice, "disclosure.digest_twice"}, {sdjwt.ErrNameTaken, "disclosure.name_taken"},
	{sdjwt.ErrReservedName, "disclosure.reserved_name"}, {sdjwt.ErrElementCount, "disclosure.elements"}, {sdjwt.ErrDisclosure, "disclosure.malformed"},
	{sdjwt.ErrDigestForm, "disclosure.digests"}, {sdjwt.ErrNeverDisclosable, "disclosure.never"}, {sdjwt.ErrHashAlgorithm, "disclosure.hash"},
	{sdjwt.ErrTilde, "credential.form"}, {sdjwt.ErrMalformed, "credential.form"}, {sdjwt.ErrTooDeep, "credential.form"}, {keys.ErrMalformed, "credential.form"},
	{sdjwt.ErrType, "credential.typ"}, {sdjwt.ErrVCT, "credential.vct"}, {dcql.ErrType, "credential.vct"}, {sdjwt.ErrAkaVCTs, "credential.aka_vcts"},
	{sdjwt.ErrClaim, "credential.claims"}, {sdjwt.ErrConfirmationKey, "credential.cnf"}, {sdjwt.ErrExpired, "credential.expired"}, {sdjwt.ErrNotYetValid, "credential.not_yet_valid"},
	{trustlist.ErrUnknownKey, "issuer.listed"}, {trustlist.ErrNotAccredited, "issuer.accredited"},
	{dcql.ErrFormat, "query.format"}, {dcql.ErrHolderBinding, "query.holder_binding"}, {dcql.ErrAuthority, "query.authority"}, {dcql.ErrClaims, "query.claims"}, {dcql.ErrUnasked, "query.unasked"},
	{dcql.ErrUnknownID, "query.unknown_id"}, {dcql.ErrCount, "query.count"},
	{oid4vc.ErrVPOrigin, "response.origin"}, {oid4vc.ErrVPProtocol, "response.protocol"},
	{oid4vc.ErrVPTransactionHashes, "kb.transaction_data"}, {oid4vc.ErrVPTransactionData, "transaction_data"},
	{web.ErrTooLarge, "response.too_large"}, {web.ErrMediaType, "response.form"}, {web.ErrBody, "response.form"}, {web.ErrTwice, "response.form"},
	{evidence.ErrNotLogged, "engagement.not_logged"},
	{dcql.ErrUnsatisfied, "query.unsatisfied"}, // last: it comes with the reason for which a presentation was left out
}

// reasonInternal is the reason where nobody but this service is at fault.
const reasonInternal = "internal"

// reasonOf is the stable code for why a response was refused.
func reasonOf(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return r.reason
	}
	for _, known := range reasons {
		if errors.Is(err, known.err) {
			return known.reason
		}
	}
	var failed *evidence.CheckError
	if errors.As(err, &failed) {
		return failed.Check.Code
	}
	return reasonInternal
}

// redeem stores how a session goes on after the browser came back, and takes the code: the first to come wins.
func (v *VP) redeem(ctx context.Context, s *session, code string) error {
	err := v.Store.Update(ctx, func(tx store.Tx) error {
		stored, err := getSession(tx, s.ID)
		if err != nil {
			return err
		}
		if stored.Status != Returning && stored.Status != Refused || !sameSecret(stored.Code, code) {
			return errReturn
		}
		if s.Status == Waiting {
			return v.begin(tx, s)
		}
		return v.putSession(tx, s)
	})
	v.hub.tell(s.ID)
	return err
}
