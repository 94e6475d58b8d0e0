package verifier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"akashi/internal/oid4vc"
	"akashi/internal/web"
)

// hub tells those who watch a session that it has changed.
type hub struct {
	mu       sync.Mutex // guards watchers
	watchers map[string]map[chan struct{}]bool

	closing sync.Once
	closed  chan struct{} // when nobody is to watch any longer
}

// ErrClosed ends a watch when the service stops.
var ErrClosed = errors.New("the service is stopping")

// Close ends whatever watches a session, so that a server need not wait for pages that are open.
func (v *VP) Close() { v.hub.closing.Do(func() { close(v.hub.closed) }) }

// watch returns a channel that has a value after each change, and a function that ends the watch.
func (h *hub) watch(id string) (changed <-chan struct{}, done func()) {
	c := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers == nil {
		h.watchers = make(map[string]map[chan struct{}]bool)
	}
	if h.watchers[id] == nil {
		h.watchers[id] = make(map[chan struct{}]bool)
	}
	h.watchers[id][c] = true
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if delete(h.watchers[id], c); len(h.watchers[id]) == 0 {
			delete(h.watchers, id)
		}
	}
}

func (h *hub) tell(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.watchers[id] {
		select {
		case c <- struct{}{}:
		default: // it has a value already
		}
	}
}

// expiryCheck is how often a watcher looks at the clock, which need not be that of the machine.
const expiryCheck = time.Second

// heartbeat is how often a stream of events that says nothing shows that it is alive.
const heartbeat = 20 * time.Second

// stillHere is the comment that a stream has then.
const stillHere = ": still here\n\n"

// follow calls see for the session now and after each change of its status or step, until it is final, and quiet where nothing has changed for a while.
func (v *VP) follow(ctx context.Context, id string, see func(*View) error, quiet func() error) error {
	changed, done := v.hub.watch(id)
	defer done()
	tick, beat := time.NewTicker(expiryCheck), time.NewTicker(heartbeat)
	defer tick.Stop()
	defer beat.Stop()
	var last View
	for {
		now, err := v.Session(ctx, id)
		if err != nil {
			return err
		}
		if now.Status != last.Status || now.Step != last.Step {
			if err := see(now); err != nil {
				return err
			}
		}
		if last = *now; last.Status.IsFinal() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-v.hub.closed:
			return ErrClosed
		case <-beat.C:
			if err := quiet(); err != nil {
				return err
			}
		case <-changed:
		case <-tick.C:
		}
	}
}

// Follow waits until a session is final and returns it. see, where not nil, is called with it now and after each change.
func (v *VP) Follow(ctx context.Context, id string, see func(*View) error) (*View, error) {
	var end *View
	err := v.follow(ctx, id, func(now *View) error {
		end = now
		if see != nil {
			return see(now)
		}
		return nil
	}, func() error { return nil })
	return end, err
}

// mayWatch tells whether a request comes from whoever began the session: the administrator, or the browser session.
func (v *VP) mayWatch(r *http.Request, s *session) bool {
	return v.isAdmin(r) || s.Browser != "" && sameSecret(s.Browser, hashed(browserOf(r)))
}

// watched returns the session of a request that may watch it. For others there is none.
func (v *VP) watched(r *http.Request) (*session, error) {
	s, err := v.read(r.Context(), mux.Vars(r)["id"])
	if err != nil {
		return nil, err
	}
	if !v.mayWatch(r, s) {
		return nil, errNoSession
	}
	return s, nil
}

func (v *VP) serveSession(w http.ResponseWriter, r *http.Request) {
	s, err := v.watched(r)
	var out *View
	if err == nil {
		out, err = v.view(s)
	}
	if err != nil {
		web.WriteOAuthError(w, r, err, oid4vc.CodeInvalidRequest, v.Log)
		return
	}
	web.WriteJSON(w, http.StatusOK, out)
}

func (v *VP) serveEvidence(w http.ResponseWriter, r *http.Request) {
	s, err := v.watched(r)
	var data []byte
	if err == nil {
		data, err = v.Evidence(r.Context(), s.ID)
	}
	if err != nil {
		web.WriteOAuthError(w, r, err, oid4vc.CodeInvalidRequest, v.Log)
		return
	}
	web.WriteBody(w, http.StatusOK, oid4vc.MediaTypeJSON, data)
}

// serveEvents sends the session as a server-sent event, now and after each change, until it is final:
//
//	event: session
//	data: {"id":...,"status":...}
func (v *VP) serveEvents(w http.ResponseWriter, r *http.Request) {
	s, err := v.watched(r)
	if err != nil {
		web.WriteOAuthError(w, r, err, oid4vc.CodeInvalidRequest, v.Log)
		return
	}
	send := eventStream(w)
	err = v.follow(r.Context(), s.ID, func(now *View) error {
		text, err := json.Marshal(now)
		if err != nil {
			return err
		}
		return send(fmt.Sprintf("event: session\ndata: %s\n\n", text))
	}, func() error { return send(stillHere) })
	if err != nil && r.Context().Err() == nil && !errors.Is(err, ErrClosed) {
		v.Log.WarnContext(r.Context(), "an event stream ended early", "error", err)
	}
}

// writeWithin is how long an answer may take, or, in a stream of events, the next of them.
const writeWithin = 2 * time.Minute

// eventStream begins a stream of events, and returns what sends one of them.
func eventStream(w http.ResponseWriter) (send func(event string) error) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // nothing more is read; the server's own deadline would end the stream
	return func(event string) error {
		_ = control.SetWriteDeadline(time.Now().Add(writeWithin)) // a writer without deadlines is one of a test
		if _, err := io.WriteString(w, event); err != nil {
			return err
		}
		return control.Flush()
	}
}
