package issuer

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash"
	"net/http"
	"time"

	"akashi/internal/oid4vc"
	"akashi/internal/web"
)

// Purposes of nonces: one is never taken for the other.
const (
	nonceProof  = "c_nonce" // of key proofs, each used once
	nonceServer = "server"  // of DPoP proofs and of client attestations, for as long as it is fresh
)

var errNonce = errors.New("the nonce is not one of this server, or too old")

// newNonce makes a nonce that this instance recognises without having stored it:
//
//	BASE64URL(uint64 seconds || 16 random octets || first 16 octets of HMAC-SHA-256(secret, purpose 0x00 issuer 0x00 the octets before))
func (i *Issuer) newNonce(ctx context.Context, o *org, purpose string) (string, error) {
	s, err := i.vciSecrets(ctx)
	if err != nil {
		return "", err
	}
	random, err := i.random(16)
	if err != nil {
		return "", err
	}
	b := append(binary.BigEndian.AppendUint64(nil, uint64(i.Now().Unix())), random...)
	return base64.RawURLEncoding.EncodeToString(append(b, s.nonceTag(o, purpose, b)...)), nil
}

func (s *vciSecrets) nonceTag(o *org, purpose string, b []byte) []byte {
	mac := s.macs.Get().(hash.Hash)
	defer s.macs.Put(mac)
	mac.Reset()
	mac.Write([]byte(purpose + "\x00" + o.Issuer + "\x00"))
	mac.Write(b)
	return mac.Sum(nil)[:16]
}

// checkNonce checks a nonce of newNonce.
func (i *Issuer) checkNonce(ctx context.Context, o *org, purpose, nonce string) error {
	s, err := i.vciSecrets(ctx)
	if err != nil {
		return err
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	// A nonce is used once by its text, so it has one: the decoder passes over line breaks.
	if err != nil || len(b) != 40 || len(nonce) != base64.RawURLEncoding.EncodedLen(40) || !hmac.Equal(b[24:], s.nonceTag(o, purpose, b[:24])) {
		return errNonce
	}
	made := time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	if age := i.Now().Sub(made); age < -time.Minute || age > nonceLife {
		return errNonce
	}
	return nil
}

// serveNonce is the nonce endpoint (OpenID4VCI 1.0, Section 7): no token, an empty body.
func (i *Issuer) serveNonce(w http.ResponseWriter, r *http.Request, o *org) error {
	nonce, err := i.newNonce(r.Context(), o, nonceProof)
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, oid4vc.NonceResponse{Nonce: nonce})
	return nil
}

// serveChallenge is the challenge endpoint of attestation-based client authentication.
func (i *Issuer) serveChallenge(w http.ResponseWriter, r *http.Request, o *org) error {
	nonce, err := i.newNonce(r.Context(), o, nonceServer)
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, oid4vc.ChallengeResponse{Challenge: nonce})
	return nil
}
