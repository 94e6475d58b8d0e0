package issuer

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"akashi/internal/store"
)

// Keys of the store for OpenID4VCI. What is a secret of a client stands there by its hash; only an offer keeps its code, to be served again.
//
//	vci/secrets                               vciSecrets
//	vci/offer/<id>/<offer>                    offer
//	vci/state/<hash>                          key of the offer with this issuer_state
//	vci/pushed/<hash>                         pushed
//	vci/code/<hash>                           code, of both grants
//	vci/grant/<grant>                         grant
//	vci/access/<hash>                         access
//	vci/refresh/<hash>                        refresh
//	vci/once/<hash>                           a one-time value that was used
//	vci/deferred/<hash>                       deferred
//	vci/note/<hash>                           notification that is open
//	vci/issued/<id>/<credential>              issued
//	vci/copy/<id>/<logged>/<credential>       a copy of an attestation
//	vci/list/<list>                           statusList, of all organizations
//	vci/index/<list>/<index>                  credential that has the index
//	vci/change/<list>/<time>/<index>          change
var keyVCISecrets = []byte("vci/secrets")

const prefixList = "vci/list/"

func offerKey(id, offer string) []byte       { return []byte("vci/offer/" + id + "/" + offer) }
func issuerStateKey(state string) []byte     { return hashKey("vci/state/", state) }
func pushedKey(requestURI string) []byte     { return hashKey("vci/pushed/", requestURI) }
func codeKey(code string) []byte             { return hashKey("vci/code/", code) }
func grantKey(grant string) []byte           { return []byte("vci/grant/" + grant) }
func accessKey(token string) []byte          { return hashKey("vci/access/", token) }
func refreshKey(token string) []byte         { return hashKey("vci/refresh/", token) }
func onceKey(kind, value string) []byte      { return hashKey("vci/once/", kind+"\n"+value) }
func deferredKey(id string) []byte           { return hashKey("vci/deferred/", id) }
func noteKey(id string) []byte               { return hashKey("vci/note/", id) }
func issuedKey(id, credential string) []byte { return []byte("vci/issued/" + id + "/" + credential) }
func copyPrefix(id, logged string) []byte    { return []byte("vci/copy/" + id + "/" + logged + "/") }
func listKey(list int) []byte                { return fmt.Appendf(nil, "%s%04d", prefixList, list) }
func indexKey(list int, index uint64) []byte {
	return fmt.Appendf(nil, "vci/index/%04d/%08d", list, index)
}
func changePrefix(list int) []byte { return fmt.Appendf(nil, "vci/change/%04d/", list) }
func changeKey(list int, at int64, index uint64) []byte {
	return fmt.Appendf(changePrefix(list), "%012d/%08d", at, index)
}

func hashKey(prefix, value string) []byte {
	sum := sha256.Sum256([]byte(value))
	key := append(make([]byte, 0, len(prefix)+base64.RawURLEncoding.EncodedLen(len(sum))), prefix...)
	return base64.RawURLEncoding.AppendEncode(key, sum[:])
}

// random returns n octets.
func (i *Issuer) random(n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(i.Rand, b)
	return b, err
}

// secretText returns 256 random bits in base64url.
func (i *Issuer) secretText() (string, error) {
	b, err := i.random(32)
	return base64.RawURLEncoding.EncodeToString(b), err
}

// setJSONFor stores a value that the store may forget after it has expired. Store and protocol may have different clocks: what counts is the
// expiry inside the value.
func setJSONFor(tx store.Tx, key []byte, v any, life time.Duration) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.SetUntil(key, b, time.Now().Add(life+keptLonger))
}

// once is a value that must not be used a second time.
type once struct {
	kind, value string
	life        time.Duration
	refusal     error // when it was used before
}

// use takes the values. The first that was used before gives its refusal, and nothing is written.
func use(tx store.Tx, values ...once) error {
	taken := make([][]byte, len(values))
	for n, v := range values {
		taken[n] = onceKey(v.kind, v.value)
		switch _, err := tx.Get(taken[n]); {
		case err == nil:
			return v.refusal
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
	}
	for n, v := range values {
		if err := tx.SetUntil(taken[n], []byte{1}, time.Now().Add(v.life+keptLonger)); err != nil {
			return err
		}
	}
	return nil
}

// find reads a JSON value; missing gives the refusal.
func find(tx store.Tx, key []byte, v any, refusal error) error {
	err := store.GetJSON(tx, key, v)
	if errors.Is(err, store.ErrNotFound) {
		return refusal
	}
	return err
}
