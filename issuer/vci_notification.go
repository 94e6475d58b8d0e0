package issuer

import (
	"net/http"
	"time"

	"akashi/internal/oid4vc"
	"akashi/internal/store"
)

// notification is what a wallet may tell about the credentials of one response (Section 11).
type notification struct {
	Grant       string    `json:"grant"`
	Credentials []string  `json:"credentials"`
	Expires     time.Time `json:"expires"`
}

// serveNotification is the notification endpoint. The same notification again changes nothing.
func (i *Issuer) serveNotification(w http.ResponseWriter, r *http.Request, o *org) error {
	return i.protected(w, r, o, "/notification", []string{oid4vc.MediaTypeJSON}, func(b *bearer, body []byte, _ bool) (*answer, error) {
		req, err := oid4vc.ParseNotificationRequest(body)
		if err != nil {
			return nil, err
		}
		return &answer{}, b.update(func(tx store.Tx) error { return b.notified(tx, req) })
	})
}

// notified records the event with each credential.
func (b *bearer) notified(tx store.Tx, req *oid4vc.NotificationRequest) error {
	n := new(notification)
	if err := find(tx, noteKey(req.NotificationID), n, oid4vc.ErrInvalidNotificationID); err != nil {
		return err
	}
	if n.Grant != b.grant.ID || !b.i.Now().Before(n.Expires) {
		return oid4vc.ErrInvalidNotificationID
	}
	for _, id := range n.Credentials {
		s := new(issued)
		if err := store.GetJSON(tx, issuedKey(b.o.ID, id), s); err != nil {
			return err
		}
		if s.Event == req.Event {
			continue
		}
		s.Event, s.EventAt = req.Event, b.i.Now()
		if err := store.SetJSON(tx, issuedKey(b.o.ID, id), s); err != nil {
			return err
		}
	}
	return nil
}
