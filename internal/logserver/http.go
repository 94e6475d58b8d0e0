package logserver

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/transparency-dev/tessera/api/layout"

	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/internal/web"
	"akashi/registry"
)

// Handler returns the registry's interface. These are all its routes.
func (s *Server) Handler() http.Handler {
	slots := make(chan struct{}, s.cfg.Limits.Concurrent)
	r := mux.NewRouter()
	get := func(path string, h http.HandlerFunc) { r.HandleFunc(path, h).Methods(http.MethodGet, http.MethodHead) }
	post := func(path string, h http.HandlerFunc) { r.HandleFunc(path, h).Methods(http.MethodPost) }
	get("/checkpoint", s.serveCheckpoint)
	get("/tile/entries/{n:[0-9x/]+}", s.serveEntries)
	get("/tile/entries/{n:[0-9x/]+\\.p/[0-9]+}", s.serveEntries)
	get("/tile/{level:[0-9]+}/{n:[0-9x/]+}", s.serveTile)
	get("/tile/{level:[0-9]+}/{n:[0-9x/]+\\.p/[0-9]+}", s.serveTile)
	post("/v1/entries", s.serveSubmit(slots))
	post("/v1/erase", limited(slots, s.serveErase))
	post("/v1/lookup", limited(slots, s.serveLookup))
	post("/v1/records", limited(slots, s.serveRecords))
	get("/v1/heads/{size}", s.serveHead)
	get("/v1/checkpoints", s.serveCheckpoints)
	get("/v1/buckets/{prefix}", limited(slots, s.serveBucket))
	get("/v1/delta", limited(slots, s.serveDelta))
	get("/v1/trust-list/{n}", s.serveTrustList)
	get("/v1/trust-lists", s.serveTrustLists)
	get("/healthz", func(w http.ResponseWriter, _ *http.Request) { writeText(w, "ok\n") })
	get("/readyz", s.serveReady)
	r.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeProblem(w, errNotFound) })
	r.MethodNotAllowedHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeProblem(w, errMethod) })
	return http.MaxBytesHandler(r, s.cfg.Limits.Body)
}

// limited turns requests away while too many are being read and worked on.
func limited(slots chan struct{}, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !within(slots, func() { h(w, r) }) {
			writeProblem(w, retryError{errBusyNow, time.Second})
		}
	}
}

// within runs fn if there is a free slot.
func within(slots chan struct{}, fn func()) bool {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
		fn()
		return true
	default:
		return false
	}
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, text)
}

var (
	errNotFound = errors.New("no such resource")
	errMethod   = errors.New("this resource has another method")
	errBusyNow  = errors.New("too many requests at once")
	errNothing  = errors.New("nothing is published yet")
	errTroubled = errors.New("not ready")
)

// problemStatus gives an error its status. Every error that a client may see is here; anything else is internal.
func problemStatus(err error) int {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, errQuota), errors.Is(err, errQueueFull), errors.Is(err, errBusyNow):
		return http.StatusTooManyRequests
	case errors.Is(err, ErrNotPublished), errors.Is(err, ErrStopped), errors.Is(err, errNoList), errors.Is(err, errNothing), errors.Is(err, errTroubled), isDiskFull(err):
		return http.StatusServiceUnavailable
	case errors.Is(err, ErrReplay), errors.Is(err, ErrNotAdmitted):
		return http.StatusForbidden
	case errors.Is(err, errRequest), errors.Is(err, keys.ErrJSON):
		return http.StatusBadRequest
	case errors.Is(err, errNotYet):
		return http.StatusConflict
	case errors.Is(err, errNotFound), errors.Is(err, store.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, errMethod):
		return http.StatusMethodNotAllowed
	}
	return http.StatusInternalServerError
}

// writeProblem answers with an RFC 9457 problem.
func writeProblem(w http.ResponseWriter, err error) {
	p := web.Problem{Status: problemStatus(err), Title: err.Error()}
	switch {
	case p.Status == http.StatusInternalServerError:
		p.Title = "internal error: the operator's log has the cause"
	case isDiskFull(err):
		p.Title = ErrDiskFull.Error()
	}
	var retry retryError
	switch {
	case errors.As(err, &retry):
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(max(retry.after, time.Second).Seconds()))))
	case p.Status == http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	}
	web.WriteProblem(w, p)
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil && problemStatus(err) == http.StatusInternalServerError {
		s.cfg.Log.Error("request failed", "route", web.Route(r), "error", err)
	}
	writeProblem(w, err)
}

// readJSON reads a request body strictly.
func (s *Server) readJSON(r *http.Request, v any) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	return keys.DecodeJSONMax(body, v, int(s.cfg.Limits.Body))
}

// serveSubmit has a bound on submissions that are being read and checked; those that wait for their epoch are bounded by the queue.
func (s *Server) serveSubmit(slots chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, span := s.span(r.Context(), spanSubmit)
		r = r.WithContext(ctx)
		var j *job
		var err error
		if !within(slots, func() { j, err = s.readSubmission(r) }) {
			err = retryError{errBusyNow, time.Second}
		}
		if err != nil {
			endSpan(span, err)
			s.fail(w, r, err)
			return
		}
		checkpoint, err := j.wait(ctx)
		endSpan(span, err, attrCount(attrRecords, len(j.refs)))
		if err != nil {
			s.gate.forget(j.pass)
			s.fail(w, r, err)
			return
		}
		web.WriteJSON(w, j.status(), registry.SubmitResponse{Results: j.results, Checkpoint: string(checkpoint)})
	}
}

func (s *Server) readSubmission(r *http.Request) (*job, error) {
	req, err := registry.ReadSubmitRequest(r.Body)
	if err != nil {
		return nil, asRequestError(err)
	}
	return s.admit(r.Context(), req)
}

// status is 409 when any record met another one in its slot.
func (j *job) status() int {
	for _, r := range j.results {
		if r.Status == registry.StatusConflict {
			return http.StatusConflict
		}
	}
	return http.StatusOK
}

// asRequestError marks what the reader of a body found as the client's, except that it is too large.
func asRequestError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) || errors.Is(err, keys.ErrJSON) {
		return err
	}
	return errors.Join(errRequest, err)
}

// readKeys reads a request for keys.
func (s *Server) readKeys(r *http.Request) ([]registry.Key, error) {
	var req registry.LookupRequest
	if err := s.readJSON(r, &req); err != nil {
		return nil, asRequestError(err)
	}
	seen := make(map[registry.Key]bool, len(req.Keys))
	for _, k := range req.Keys {
		if seen[k] {
			return nil, errors.Join(errRequest, errors.New("name each key once"))
		}
		seen[k] = true
	}
	if n := len(req.Keys); n == 0 || n > registry.MaxLookupKeys {
		return nil, errors.Join(errRequest, errors.New("name 1 to "+strconv.Itoa(registry.MaxLookupKeys)+" keys"))
	}
	return req.Keys, nil
}

func (s *Server) serveLookup(w http.ResponseWriter, r *http.Request) {
	slots, err := s.readKeys(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	begin := time.Now()
	ctx, span := s.span(r.Context(), spanLookup)
	resp, err := s.processLookup(ctx, slots)
	endSpan(span, err, attrCount(attrKeys, len(slots)))
	s.metrics.lookups.Observe(time.Since(begin).Seconds())
	s.metrics.keys.Add(float64(len(slots)))
	answerWith(s, w, r)(resp, err)
}

func (s *Server) serveRecords(w http.ResponseWriter, r *http.Request) {
	slots, err := s.readKeys(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	records, err := s.processRecords(r.Context(), slots)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", registry.TypeOctetsRecords)
	w.Header().Set("Cache-Control", "no-store")
	out := bufio.NewWriterSize(w, 64<<10)           // a record has small parts, and each write would be a packet of its own
	if registry.WriteRecords(out, records) == nil { // what is cut short does not read
		_ = out.Flush()
	}
}

// answerWith returns a function that writes an answer or an error.
func answerWith(s *Server, w http.ResponseWriter, r *http.Request) func(any, error) {
	return func(v any, err error) {
		if err != nil {
			s.fail(w, r, err)
			return
		}
		web.WriteJSON(w, http.StatusOK, v)
	}
}

// number reads a decimal number, spelt in the one way.
func number(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return 0, errors.Join(errRequest, errors.New("not a decimal number"))
	}
	return n, nil
}

// numberOrLatest reads a number from 1 on; "latest" is 0.
func numberOrLatest(text string) (uint64, error) {
	if text == "latest" {
		return 0, nil
	}
	n, err := number(text)
	if err == nil && n == 0 {
		err = errNotFound
	}
	return n, err
}

func (s *Server) serveHead(w http.ResponseWriter, r *http.Request) {
	size, err := numberOrLatest(mux.Vars(r)["size"])
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answerWith(s, w, r)(s.processHead(r.Context(), size))
}

func (s *Server) serveCheckpoints(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	find, text := s.archive.firstAfter, q.Get("first_after")
	if q.Has("last_before") {
		find, text = s.archive.lastBefore, q.Get("last_before")
	}
	i, err := number(text)
	if err != nil || q.Has("first_after") == q.Has("last_before") {
		s.fail(w, r, errors.Join(errRequest, errors.New("give first_after or last_before, the index of an entry")))
		return
	}
	size, ok := find(i)
	notes := noteCache{archive: s.archive}
	note, err := notes.get(r.Context(), size, ok)
	answerWith(s, w, r)(registry.CheckpointsResponse{Checkpoint: note}, err)
}

func (s *Server) serveTrustList(w http.ResponseWriter, r *http.Request) {
	n, err := numberOrLatest(mux.Vars(r)["n"])
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answerWith(s, w, r)(s.processTrustList(r.Context(), n))
}

func (s *Server) serveTrustLists(w http.ResponseWriter, r *http.Request) {
	answerWith(s, w, r)(s.processTrustLists(r.Context()))
}

// serveBucket serves a whole bucket as a file that caches may keep for a while, and ask about by its tag.
func (s *Server) serveBucket(w http.ResponseWriter, r *http.Request) {
	prefix, bits, err := registry.ParseBucketName(mux.Vars(r)["prefix"])
	if err != nil {
		s.fail(w, r, errors.Join(errRequest, err))
		return
	}
	v, err := s.view(r.Context(), anyEpoch)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer v.snap.Release()
	w.Header().Set("ETag", fmt.Sprintf("\"%d-%d\"", v.size, len(v.note)))
	w.Header().Set("Cache-Control", bucketCaching)
	if slices.Contains(strings.Split(r.Header.Get("If-None-Match"), ", "), w.Header().Get("ETag")) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	resp, err := v.bucket(r.Context(), prefix, bits)
	if err != nil {
		w.Header().Del("ETag")
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(resp)
}

// bucketCaching lets a cache serve many wallets from one bucket, and none of them a head older than half a minute.
const bucketCaching = "public, max-age=30"

// serveCheckpoint serves the newest checkpoint with all lines so far (C2SP tlog-tiles, "Checkpoints").
func (s *Server) serveCheckpoint(w http.ResponseWriter, r *http.Request) {
	s.mu.RLock()
	served := s.served
	s.mu.RUnlock()
	if served == nil {
		s.fail(w, r, errNothing)
		return
	}
	w.Header().Set("Cache-Control", "max-age=1")
	writeText(w, string(served))
}

func (s *Server) serveEntries(w http.ResponseWriter, r *http.Request) {
	n, width, err := layout.ParseTileIndexPartial(mux.Vars(r)["n"])
	if err != nil {
		s.fail(w, r, errNotFound)
		return
	}
	s.serveFile(w, r, layout.EntriesPath(n, width))
}

func (s *Server) serveTile(w http.ResponseWriter, r *http.Request) {
	level, n, width, err := layout.ParseTileLevelIndexPartial(mux.Vars(r)["level"], mux.Vars(r)["n"])
	if err != nil {
		s.fail(w, r, errNotFound)
		return
	}
	s.serveFile(w, r, layout.TilePath(level, n, width))
}

// serveReady tells whether submissions can be taken, and if not, why.
func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	s.mu.RLock()
	troubled, published := s.troubled, s.published != nil
	s.mu.RUnlock()
	space := s.checkSpace()
	switch {
	case space != nil:
		s.fail(w, r, space)
	case s.inForce() == nil:
		s.fail(w, r, errNoList)
	case troubled != "":
		s.fail(w, r, fmt.Errorf("%w: %s", errTroubled, troubled))
	case !published:
		s.fail(w, r, errNothing)
	default:
		writeText(w, "ready\n")
	}
}
