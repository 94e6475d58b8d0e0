package issuer

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"akashi/internal/oid4vc"
	"akashi/internal/statuslist"
	"akashi/internal/store"
	"akashi/internal/web"
)

// Of a status list only the entries that are taken and the changes are stored, one key each: to issue touches no common value, and the list
// as it stood at any time is the changes until then. An entry has two bits, so that it can also be suspended.
const (
	statusBits    = 2
	statusEntries = statuslist.MinEntries
	statusTTL     = 15 * time.Minute
	statusLife    = 24 * time.Hour // exp
	statusTries   = 12             // draws that meet taken entries until the next list is begun: it is then mostly full
)

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

func (p place) claim(o *org) map[string]any {
	return statuslist.Reference{Index: p.index, URI: o.statusURI(p.list)}.Claim()
}

func (o *org) statusURI(list int) string { return o.Issuer + "/status/" + strconv.Itoa(list) }

// freeIndices draws entries at random, which are taken when the credentials are stored.
func (i *Issuer) freeIndices(ctx context.Context, o *org, n int) ([]place, error) {
	var out []place
	for {
		list, err := i.currentList(ctx, o)
		if err != nil {
			return nil, err
		}
		full := false
		err = i.Store.View(ctx, func(tx store.Tx) error {
			out = out[:0]
			for len(out) < n && !full {
				p, ok, err := i.drawIndex(tx, o, list, out)
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
		if err := i.beginList(ctx, o, list+1); err != nil {
			return nil, err
		}
	}
}

// drawIndex draws an entry that is free and not among those drawn before. ok is false where the list seems full.
func (i *Issuer) drawIndex(tx store.Tx, o *org, list int, drawn []place) (p place, ok bool, err error) {
	for range statusTries {
		var b [8]byte
		if _, err := io.ReadFull(rand.Reader, b[:]); err != nil {
			return p, false, err
		}
		p = place{list, binary.BigEndian.Uint64(b[:]) % statusEntries}
		_, err := tx.Get(indexKey(o.ID, list, p.index))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return p, false, err
		}
		if err == nil {
			continue
		}
		twice := false
		for _, d := range drawn {
			twice = twice || d == p
		}
		if !twice {
			return p, true, nil
		}
	}
	return p, false, nil
}

// takeIndex gives the entry to a credential.
func takeIndex(tx store.Tx, orgID string, list int, index uint64, credential string) error {
	key := indexKey(orgID, list, index)
	switch _, err := tx.Get(key); {
	case err == nil:
		return errIndexTaken
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	return tx.Set(key, []byte(credential))
}

// lists returns how many lists the organization has begun.
func (i *Issuer) lists(ctx context.Context, o *org) (n int, err error) {
	err = i.Store.View(ctx, func(tx store.Tx) error {
		return tx.Scan(listPrefix(o.ID), func(_, _ []byte) error {
			n++
			return nil
		})
	})
	return n, err
}

// currentList returns the number of the list that entries are taken from, and begins the first.
func (i *Issuer) currentList(ctx context.Context, o *org) (int, error) {
	n, err := i.lists(ctx, o)
	if err != nil || n > 0 {
		return n, err
	}
	return 1, i.beginList(ctx, o, 1)
}

func (i *Issuer) beginList(ctx context.Context, o *org, list int) error {
	return i.Store.Update(ctx, func(tx store.Tx) error {
		_, err := tx.Get(listKey(o.ID, list))
		if errors.Is(err, store.ErrNotFound) {
			return store.SetJSON(tx, listKey(o.ID, list), statusList{i.Now().Truncate(time.Second)})
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
			store.SetJSON(tx, changeKey(o.ID, s.List, i.Now().Unix(), s.Index), change{how.Status}))
	})
	i.forgetSigned(o.statusURI(list))
	return err
}

func statusName(s statuslist.Status) string {
	if s == statuslist.Valid {
		return ""
	}
	return s.String()
}

// listAt builds a list as it stood at a time.
func (i *Issuer) listAt(ctx context.Context, o *org, list int, at time.Time) (*statuslist.List, error) {
	l, err := statuslist.New(statusBits, statusEntries)
	if err != nil {
		return nil, err
	}
	prefix := changePrefix(o.ID, list)
	end := changeKey(o.ID, list, at.Unix()+1, 0)
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

// serveStatusList serves a Status List Token (Token Status List, Section 8), of now or, with time, of then.
func (i *Issuer) serveStatusList(w http.ResponseWriter, r *http.Request, o *org) error {
	number, err := strconv.Atoi(mux.Vars(r)["list"])
	if err != nil {
		return errNoList
	}
	var list statusList
	err = i.Store.View(r.Context(), func(tx store.Tx) error { return find(tx, listKey(o.ID, number), &list, errNoList) })
	if err != nil {
		return err
	}
	at, past, err := i.statusTime(r, list)
	if err != nil {
		return err
	}
	if past {
		return i.servePastList(w, r, o, number, at)
	}
	token, err := i.signedOnce(o.statusURI(number), time.Minute, func(now time.Time) (string, error) { return i.signList(r.Context(), o, number, now) })
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "max-age="+strconv.Itoa(int(statusTTL.Seconds())))
	writeStatusToken(w, token)
	return nil
}

func (i *Issuer) servePastList(w http.ResponseWriter, r *http.Request, o *org, number int, at time.Time) error {
	token, err := i.signList(r.Context(), o, number, at)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	writeStatusToken(w, token)
	return nil
}

func writeStatusToken(w http.ResponseWriter, token string) {
	w.Header().Set("Content-Type", statuslist.MediaType)
	_, _ = io.WriteString(w, token)
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

func (i *Issuer) signList(ctx context.Context, o *org, number int, at time.Time) (string, error) {
	l, err := i.listAt(ctx, o, number, at)
	if err != nil {
		return "", err
	}
	return statuslist.SignToken(o.signing, l, statuslist.TokenOptions{URI: o.statusURI(number), AggregationURI: o.Issuer + "/status", IssuedAt: at,
		Expires: at.Add(statusLife), TTL: statusTTL, KeyID: o.signing.Public().Thumbprint(), X5C: o.X5C})
}

// serveAggregation names the lists (Token Status List, Section 9).
func (i *Issuer) serveAggregation(w http.ResponseWriter, r *http.Request, o *org) error {
	n, err := i.currentList(r.Context(), o)
	if err != nil {
		return err
	}
	a := statuslist.Aggregation{}
	for list := 1; list <= n; list++ {
		a.StatusLists = append(a.StatusLists, o.statusURI(list))
	}
	writePublic(w, a)
	return nil
}
