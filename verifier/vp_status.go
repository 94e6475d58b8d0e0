package verifier

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"akashi/compliance"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/internal/statuslist"
	"akashi/registry/trustlist"
)

// A StatusSource returns the Status List Token at a URI, and when it was fetched. Which hosts it asks is its own policy: an issuer that is asked
// learns that somebody looks at one of its credentials. It may serve a cached one, which is then judged by its ttl.
type StatusSource interface {
	StatusList(ctx context.Context, uri string) (token string, fetched time.Time, err error)
}

// CodeStatus is the check of a credential's entry in its status list (Token Status List, Section 8.3): unknown where the list cannot be had, or not
// be believed.
const CodeStatus = "credential.status"

// checkStatus looks up the status of a credential of a query of the operator's own. A credential without status has no check; one that is not valid
// is refused.
func (v *VP) checkStatus(ctx context.Context, s signer, c *sdjwt.Verified, lists []*trustlist.List) (*compliance.Check, error) {
	reference, err := statuslist.ReferenceOf(c.Claims)
	switch {
	case err != nil:
		return cannotTell("the credential's status is of a kind that is not known here"), nil
	case reference == nil:
		return nil, nil
	case v.Statuses == nil:
		return cannotTell("this verifier asks no status lists"), nil
	}
	status, err := v.statusAt(ctx, s, *reference, lists)
	if err != nil {
		v.Log.InfoContext(ctx, "a status list could not be used", "error", err)
		return cannotTell("the status list cannot be had or not be believed"), nil
	}
	if status != statuslist.Valid {
		return nil, &refusal{status: http.StatusBadRequest, code: oid4vc.CodeInvalidRequest, text: "a credential is not valid any more, or not just now", reason: "credential." + statusName(status)}
	}
	return &compliance.Check{Code: CodeStatus, Result: compliance.Pass}, nil
}

func cannotTell(why string) *compliance.Check {
	return &compliance.Check{Code: CodeStatus, Result: compliance.CannotTell, Detail: why}
}

func statusName(s statuslist.Status) string {
	switch s {
	case statuslist.Invalid:
		return "revoked"
	case statuslist.Suspended:
		return "suspended"
	}
	return "status"
}

// statusAt reads the entry in the list. The list must be signed by the service of the trust list that serves it for many organizations or, where
// there is none, by whoever signed the credential.
func (v *VP) statusAt(ctx context.Context, s signer, r statuslist.Reference, lists []*trustlist.List) (statuslist.Status, error) {
	compact, fetched, err := v.Statuses.StatusList(ctx, r.URI)
	if err != nil {
		return 0, fmt.Errorf("fetching it: %w", err)
	}
	u, err := statuslist.Parse(compact)
	if err != nil {
		return 0, err
	}
	key, err := v.statusKey(s, r.URI, u.Header(), lists)
	if err != nil {
		return 0, err
	}
	token, err := u.Verify(key, statuslist.Expect{URI: r.URI, Now: v.Now(), Fetched: fetched})
	if err != nil {
		return 0, err
	}
	return token.Status(r.Index)
}

// statusKey finds by whom the list may be signed.
func (v *VP) statusKey(s signer, uri string, header keys.UnverifiedHeader, lists []*trustlist.List) (keys.Public, error) {
	if len(lists) > 0 {
		if key, served, err := lists[0].StatusKey(uri, header); served || err != nil {
			return key, err
		}
	}
	of, err := v.signerByHeader(header, v.Now(), lists)
	if err == nil && (of.id != s.id || s.id == "" && !of.key.Equal(s.key)) {
		err = fmt.Errorf("it is signed by another than the credential")
	}
	return of.key, err
}
