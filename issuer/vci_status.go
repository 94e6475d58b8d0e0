package issuer

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/statuslist"
	"akashi/internal/store"
	"akashi/internal/web"
)

// The lists are those of all organizations here: an entry is drawn at random among all, and a list does not tell whose credential somebody looks
// up (Token Status List, Section 12.5). They are served by the instance and signed with a key of its own, which the trust list names.
//
// Of a list only the entries that are taken and the changes are stored, one key each: to issue touches no common value, and the list as it stood
// at any time is the changes until then. An entry has two bits, so that it can also be suspended.
const (
	statusPath    = "/status"
	statusBits    = 2
	statusEntries = 8 * statuslist.MinEntries
	statusTTL     = 15 * time.Minute
	statusLife    = 24 * time.Hour // exp
	statusTries   = 12             // draws that meet taken entries until the next list is begun: it is then mostly full
)

// StatusSigner is by whom the status lists of an instance are served and signed.
type StatusSigner struct {
	URL string // of the instance, where [Issuer.Handler] is reached; without a slash at the end
	Key *keys.Private
	X5C []string // certificate chain without the trust anchor (HAIP 1.0, Section 6.1)
}

// StatusLists begins the URIs of the status lists of the instance at url.
func StatusLists(url string) string { return url + statusPath + "/" }

// StatusAggregation is where the instance at url names its status lists (Token Status List, Section 9).
func StatusAggregation(url string) string { return url + statusPath }

func (s *StatusSigner) check() error {
	if err := oid4vc.CheckIdentifier(s.URL); err != nil || strings.HasSuffix(s.URL, "/") || s.Key == nil {
		return errors.New("issuer: status lists need the URL of the instance, without a slash at the end, and a key that signs them")
	}
	return nil
}

func (s *StatusSigner) uri(list int) string { return StatusLists(s.URL) + strconv.Itoa(list) }

// statusList is a list that was begun.
type statusList struct {
	Since time.Time `json:"since"`
}

// change is a new status of an entry.
type change struct {
	Status statuslist.Status `json:"status"`
}

var errIndexTaken = errors.New("another credential has the status index")

// place is an entry of a list, not taken yet.
type place struct {
	list  int
	index uint64
}

func (i *Issuer) statusClaim(p place) map[string]any {
	return statuslist.Reference{Index: p.index, URI: i.Status.uri(p.list)}.Claim()
}

// freeIndices draws entries at random, which are taken when the credentials are stored.
func (i *Issuer) freeIndices(ctx context.Context, n int) ([]place, error) {
	var out []place
	for {
		list, err := i.drawnList(ctx)
		if err != nil {
			return nil, err
		}
		full := false
		err = i.Store.View(ctx, func(tx store.Tx) error {
			out = out[:0]
			for len(out) < n && !full {
				p, ok, err := drawIndex(tx, list, out)
				if err != nil {
					return err
				}
				if full = !ok; ok {
					out = append(out, p)
				}
			}
			return nil
		})
		if err != nil || !full {
			return out, err
		}
		if err := i.beginList(ctx, list+1); err != nil {
			return nil, err
		}
		i.vci.list.CompareAndSwap(int64(list), int64(list+1))
	}
}

// drawIndex draws an entry that is free and not among those drawn before. ok is false where the list seems full.
func drawIndex(tx store.Tx, list int, drawn []place) (p place, ok bool, err error) {
	for range statusTries {
		var b [8]byte
		if _, err := io.ReadFull(rand.Reader, b[:]); err != nil {
			return p, false, err
		}
		p = place{list, binary.BigEndian.Uint64(b[:]) % statusEntries}
		_, err := tx.Get(indexKey(list, p.index))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return p, false, err
		}
		if err != nil && !slices.Contains(drawn, p) {
			return p, true, nil
		}
	}
	return p, false, nil
}

// takeIndex gives the entry to a credential.
func takeIndex(tx store.Tx, list int, index uint64, credential string) error {
	key := indexKey(list, index)
	switch _, err := tx.Get(key); {
	case err == nil:
		return errIndexTaken
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	return tx.Set(key, []byte(credential))
}

// drawnList is [Issuer.currentList], from memory where it is known: lists only become more, and an entry of an earlier one is as good.
func (i *Issuer) drawnList(ctx context.Context) (int, error) {
	if list := i.vci.list.Load(); list > 0 {
		return int(list), nil
	}
	list, err := i.currentList(ctx)
	i.vci.list.Store(int64(list))
	return list, err
}

// lists returns how many lists were begun.
func (i *Issuer) lists(ctx context.Context) (n int, err error) {
	err = i.Store.View(ctx, func(tx store.Tx) error {
		return tx.Scan([]byte(prefixList), func(_, _ []byte) error {
			n++
			return nil
		})
	})
	return n, err
}

// currentList returns the number of the list that entries are taken from, and begins the first.
func (i *Issuer) currentList(ctx context.Context) (int, error) {
	n, err := i.lists(ctx)
	if err != nil || n > 0 {
		return n, err
	}
	return 1, i.beginList(ctx, 1)
}

func (i *Issuer) beginList(ctx context.Context, list int) error {
	return i.Store.Update(ctx, func(tx store.Tx) error {
		_, err := tx.Get(listKey(list))
		if errors.Is(err, store.ErrNotFound) {
			return store.SetJSON(tx, listKey(list), statusList{i.Now().Truncate(time.Second)})
		}
		return err
	})
}

// errFinal is returned for a change of what was revoked.
var errFinal = errors.New("the credential was revoked, which is for good")

// setStatus changes the status of one credential. The same again changes nothing.
func (i *Issuer) setStatus(ctx context.Context, o *org, id string, how Revocation) error {
	var list int
	err := i.Store.Update(ctx, func(tx store.Tx) error {
		s := new(issued)
		if err := store.GetJSON(tx, issuedKey(o.ID, id), s); err != nil {
			return err
		}
		list = s.List
		status := statusName(how.Status)
		switch {
		case s.List == 0:
			return ErrEngagementStays
		case s.Status == status:
			return nil
		case s.Status == statusName(statuslist.Invalid):
			return errFinal
		}
		s.Status, s.Reason = status, how.Reason
		return errors.Join(store.SetJSON(tx, issuedKey(o.ID, id), s),
			store.SetJSON(tx, changeKey(s.List, i.Now().Unix(), s.Index), change{how.Status}))
	})
	i.forgetSigned(i.Status.uri(list))
	return err
}

func statusName(s statuslist.Status) string {
	if s == statuslist.Valid {
		return ""
	}
	return s.String()
}

// listAt builds a list as it stood at a time.
func (i *Issuer) listAt(ctx context.Context, list int, at time.Time) (*statuslist.List, error) {
	l, err := statuslist.New(statusBits, statusEntries)
	if err != nil {
		return nil, err
	}
	prefix := changePrefix(list)
	end := changeKey(list, at.Unix()+1, 0)
	err = i.Store.View(ctx, func(tx store.Tx) error {
		return tx.Scan(prefix, func(key, value []byte) error {
			if string(key) >= string(end) {
				return store.ErrStop
			}
			index, err := strconv.ParseUint(string(key[len(key)-8:]), 10, 64)
			if err != nil {
				return err
			}
			var c change
			if err := json.Unmarshal(value, &c); err != nil {
				return err
			}
			return l.Set(index, c.Status)
		})
	})
	return l, err
}

var (
	errNoList  = &oid4vc.Refusal{Code: oid4vc.CodeInvalidRequest, Status: http.StatusNotFound, Description: "there is no such status list, or there was none at that time"}
	errBadTime = &oid4vc.Refusal{Code: oid4vc.CodeInvalidRequest, Status: http.StatusBadRequest, Description: "time must be a number of seconds since 1970"}
)

var errNotAcceptable = &oid4vc.Refusal{Code: oid4vc.CodeInvalidRequest, Status: http.StatusNotAcceptable, Description: "status lists are served as application/statuslist+jwt"}

// serveStatusList serves a Status List Token (Token Status List, Section 8), of now or, with time, of then.
func (i *Issuer) serveStatusList(w http.ResponseWriter, r *http.Request) error {
	if accept := r.Header.Get("Accept"); strings.Contains(accept, "statuslist+cwt") && !strings.Contains(accept, statuslist.MediaType) && !strings.Contains(accept, "*") {
		return errNotAcceptable
	}
	number, err := strconv.Atoi(mux.Vars(r)["list"])
	if err != nil {
		return errNoList
	}
	var list statusList
	err = i.Store.View(r.Context(), func(tx store.Tx) error { return find(tx, listKey(number), &list, errNoList) })
	if err != nil {
		return err
	}
	at, past, err := i.statusTime(r, list)
	if err != nil {
		return err
	}
	var token string
	if past {
		token, err = i.signList(r.Context(), number, at)
	} else {
		token, err = i.signedOnce(i.Status.uri(number), time.Minute, func(now time.Time) (string, error) { return i.signList(r.Context(), number, now) })
	}
	if err != nil {
		return err
	}
	caching := fmt.Sprintf("max-age=%d", int(statusTTL.Seconds()))
	if past {
		caching = "no-store" // somebody looks at one time; there will hardly be another
	}
	w.Header().Set("Cache-Control", caching)
	web.WriteCompressed(w, r, statuslist.MediaType, []byte(token))
	return nil
}

// statusTime reads ?time=.
func (i *Issuer) statusTime(r *http.Request, list statusList) (at time.Time, past bool, err error) {
	query := r.URL.Query()
	if err := web.CheckOnce(query); err != nil {
		return at, false, err
	}
	if !query.Has("time") {
		return at, false, nil
	}
	seconds, err := strconv.ParseInt(query.Get("time"), 10, 40)
	if err != nil {
		return at, false, errBadTime
	}
	at = time.Unix(seconds, 0)
	if at.Before(list.Since) || at.After(i.Now()) {
		return at, false, errNoList
	}
	return at, true, nil
}

func (i *Issuer) signList(ctx context.Context, number int, at time.Time) (string, error) {
	l, err := i.listAt(ctx, number, at)
	if err != nil {
		return "", err
	}
	s := &i.Status
	return statuslist.SignToken(s.Key, l, statuslist.TokenOptions{URI: s.uri(number), AggregationURI: StatusAggregation(s.URL), IssuedAt: at,
		Expires: at.Add(statusLife), TTL: statusTTL, KeyID: s.Key.Public().Thumbprint(), X5C: s.X5C})
}

// serveAggregation names the lists (Token Status List, Section 9).
func (i *Issuer) serveAggregation(w http.ResponseWriter, r *http.Request) error {
	n, err := i.currentList(r.Context())
	if err != nil {
		return err
	}
	a := statuslist.Aggregation{}
	for list := 1; list <= n; list++ {
		a.StatusLists = append(a.StatusLists, i.Status.uri(list))
	}
	writePublic(w, a)
	return nil
}
