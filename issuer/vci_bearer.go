package issuer

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/internal/web"
)

// bearer is a request with a valid access token.
type bearer struct {
	i     *Issuer
	o     *org
	ctx   context.Context
	grant *grant

	identifiers bool   // the token came with credential_identifiers
	once        []once // the DPoP proof; used up by what the request does, or when it is refused
	spent       bool
}

// bearer checks the access token of a request and the proof that goes with it (RFC 6750; RFC 9449, Section 7).
func (i *Issuer) bearer(r *http.Request, o *org, endpoint string) (*bearer, error) {
	scheme, token, err := oid4vc.AccessToken(r.Header)
	if err != nil {
		return nil, err
	}
	b := &bearer{i: i, o: o, ctx: r.Context(), grant: new(grant)}
	err = i.Store.View(b.ctx, func(tx store.Tx) error {
		var a access
		if err := find(tx, accessKey(token), &a, oid4vc.ErrInvalidToken); err != nil {
			return err
		}
		if !i.Now().Before(a.Expires) {
			return oid4vc.ErrInvalidToken
		}
		b.identifiers = a.Identifiers
		return find(tx, grantKey(a.Grant), b.grant, oid4vc.ErrInvalidToken)
	})
	switch {
	case err != nil:
		return nil, err
	case b.grant.Org != o.ID || !i.Now().Before(b.grant.Expires):
		return nil, oid4vc.ErrInvalidToken
	case b.grant.JKT != "" && scheme == oid4vc.TokenBearer:
		return nil, oid4vc.ErrBoundToken
	case b.grant.JKT == "" && scheme == oid4vc.TokenDPoP:
		return nil, oid4vc.ErrUnboundToken
	case b.grant.JKT == "":
		return b, nil
	}
	want := i.expectDPoP(b.ctx, o, r.Method, endpoint)
	want.AccessToken, want.Thumbprint = token, b.grant.JKT
	proof, err := oid4vc.CheckDPoP(r.Header, want)
	if err != nil {
		return nil, err
	}
	b.once = []once{onceDPoP(proof)}
	return b, nil
}

// update runs fn in one transaction with the using up of the DPoP proof and of further one-time values.
func (b *bearer) update(fn func(tx store.Tx) error, more ...once) error {
	err := b.i.Store.Update(b.ctx, func(tx store.Tx) error {
		if err := use(tx, append(slices.Clone(b.once), more...)...); err != nil {
			return err
		}
		return fn(tx)
	})
	b.spent = b.spent || err == nil
	return err
}

// spend uses up the proof of a request that is refused. The refusal of a proof seen before comes first.
func (b *bearer) spend(refusal error) error {
	if b.spent {
		return refusal
	}
	if err := b.update(func(store.Tx) error { return nil }); err != nil {
		return err
	}
	return refusal
}

// encryptable are the media types of messages that may be encrypted (OpenID4VCI 1.0, Section 10). A notification never is.
var encryptable = []string{oid4vc.MediaTypeJSON, oid4vc.MediaTypeJWT}

// protected runs a handler of a protected endpoint. What it answers is encrypted where the request asks for it; errors never are.
func (i *Issuer) protected(w http.ResponseWriter, r *http.Request, o *org, endpoint string, mediaTypes []string, do func(b *bearer, body []byte, encrypted bool) (*answer, error)) error {
	b, err := i.bearer(r, o, endpoint)
	if err != nil {
		return err
	}
	body, encrypted, err := i.readMessage(r, mediaTypes)
	var a *answer
	if err == nil {
		a, err = do(b, body, encrypted)
	}
	if err != nil {
		return b.spend(err)
	}
	return a.write(w)
}

// readMessage reads a JSON message, or one encrypted to this instance.
func (i *Issuer) readMessage(r *http.Request, mediaTypes []string) (body []byte, encrypted bool, err error) {
	mediaType, body, err := web.ReadBody(r, mediaTypes...)
	if err != nil || mediaType == oid4vc.MediaTypeJSON {
		return body, false, err
	}
	offered, err := i.requestEncryption(r.Context())
	if err != nil {
		return nil, false, err
	}
	s, err := i.vciSecrets(r.Context())
	if err != nil {
		return nil, false, err
	}
	body, err = oid4vc.OpenRequest(string(body), offered, func(kid string) *keys.Private {
		if kid == s.public.KID() {
			return s.decrypt
		}
		return nil
	})
	return body, true, err
}

// answer is a credential response, or nothing to say.
type answer struct {
	response *oid4vc.CredentialResponse // nil: 204
	encrypt  *oid4vc.ResponseEncryption // nil: plain
}

func (a *answer) write(w http.ResponseWriter) error {
	if a.response == nil {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if a.encrypt == nil {
		web.WriteJSON(w, a.response.Status(), a.response)
		return nil
	}
	body, err := json.Marshal(a.response)
	if err != nil {
		return err
	}
	jwe, err := a.encrypt.Seal(body)
	if err == nil {
		web.WriteBody(w, a.response.Status(), oid4vc.MediaTypeJWT, []byte(jwe))
	}
	return err
}
