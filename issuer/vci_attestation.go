package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/statuslist"
)

// A StatusSource returns the Status List Token at a URI, and when it was fetched. It may serve a cached one, which is then judged by its ttl.
type StatusSource interface {
	StatusList(ctx context.Context, uri string) (token string, fetched time.Time, err error)
}

// AttestationPolicy says how attestations of wallet providers are judged, beyond their signature and expiry.
type AttestationPolicy struct {
	MaxAge   time.Duration // of client attestations, by iat; 0 = as long as exp says. Key attestations have a rule in each configuration
	Statuses StatusSource  // where an attestation's status is looked up; nil: it cannot be had
	// AcceptUnknownStatus lets attestations pass whose status cannot be had. Otherwise the wallet is refused until it can: it may try again, and a
	// revoked one cannot slip in by keeping the list away.
	AcceptUnknownStatus bool
}

// KeyAttestationRule is what a configuration asks of key attestations (OpenID4VCI 1.0, Appendix D.2): where there are levels, one of them.
type KeyAttestationRule struct {
	KeyStorage         []string `json:"key_storage,omitempty"`
	UserAuthentication []string `json:"user_authentication,omitempty"`
	MaxAgeSeconds      int      `json:"max_age_seconds,omitempty"` // by iat; 0 = as long as exp says
}

func (r *KeyAttestationRule) check() error {
	if r == nil {
		return nil
	}
	if slices.Contains(r.KeyStorage, "") || slices.Contains(r.UserAuthentication, "") || r.MaxAgeSeconds < 0 {
		return errors.New("key_attestation: a level must not be empty, and max_age_seconds not negative")
	}
	return nil
}

// expect is the rule for the checks. Without a rule every attestation will do.
func (r *KeyAttestationRule) expect() *oid4vc.ExpectKeyAttestation {
	if r == nil {
		return &oid4vc.ExpectKeyAttestation{}
	}
	return &oid4vc.ExpectKeyAttestation{KeyStorage: r.KeyStorage, UserAuthentication: r.UserAuthentication, MaxAge: time.Duration(r.MaxAgeSeconds) * time.Second}
}

// checkAttested looks up the status of an attestation whose signature was verified. refusal is for one that is not valid, or whose status cannot
// be had.
func (i *Issuer) checkAttested(ctx context.Context, status json.RawMessage, refusal error) error {
	if len(status) == 0 {
		return nil
	}
	is, err := i.attestedStatus(ctx, status)
	if err != nil {
		i.Log.InfoContext(ctx, "the status of a wallet provider's attestation cannot be had", "error", err)
		if i.vci.cfg.Attestations.AcceptUnknownStatus {
			return nil
		}
		return refusal
	}
	if is != statuslist.Valid {
		return refusal
	}
	return nil
}

// attestedStatus reads the entry in its list (Token Status List, Section 8.3), which a trusted wallet provider must have signed.
func (i *Issuer) attestedStatus(ctx context.Context, status json.RawMessage) (statuslist.Status, error) {
	claims := map[string]any{}
	if err := keys.DecodeJSON(append(append([]byte(`{"status":`), status...), '}'), &claims); err != nil {
		return 0, err
	}
	reference, err := statuslist.ReferenceOf(claims)
	if err != nil {
		return 0, err
	}
	if i.vci.cfg.Attestations.Statuses == nil {
		return 0, errors.New("no status lists are asked here")
	}
	compact, fetched, err := i.vci.cfg.Attestations.Statuses.StatusList(ctx, reference.URI)
	if err != nil {
		return 0, err
	}
	u, err := statuslist.Parse(compact)
	if err != nil {
		return 0, err
	}
	key, err := i.walletProvider(u.Header())
	if err != nil {
		return 0, err
	}
	token, err := u.Verify(key, statuslist.Expect{URI: reference.URI, Now: i.Now(), Fetched: fetched})
	if err != nil {
		return 0, err
	}
	return token.Status(reference.Index)
}
