// Package web is the HTTP plumbing that the services share: reading request bodies strictly, writing errors of OAuth (RFC 6749, RFC 6750, RFC
// 9449) and problems (RFC 9457), limits of size and rate, header fields for safety, and [Fetcher], the one client that
// follows URLs which others wrote.
//
// It knows no protocol: what a refused request is answered with is said by the error, see [WriteOAuthError].
package web

import (
	"compress/gzip"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/gorilla/mux"
)

// WriteJSON answers with a JSON document that must not be cached, which is the rule for everything that holds a token, code or credential.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // a value of our own that does not marshal is a mistake of ours
		status, body = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	WriteBody(w, status, "application/json", body)
}

// WriteBody answers with a body that must not be cached. Its length is said: without it net/http sends what is longer than its buffer in chunks.
func WriteBody(w http.ResponseWriter, status int, mediaType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a reader that went away needs no answer
}

// WriteCompressed answers with a body, compressed where the client takes gzip (RFC 9110, Section 12.5.3). The caller has set what caches may do.
func WriteCompressed(w http.ResponseWriter, r *http.Request, mediaType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Add("Vary", "Accept-Encoding")
	if !takesGzip(r.Header.Values("Accept-Encoding")) {
		_, _ = w.Write(body) // a reader that went away needs no answer
		return
	}
	h.Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	_, _ = z.Write(body)
	_ = z.Close()
}

// takesGzip tells whether an Accept-Encoding header names gzip and does not exclude it.
func takesGzip(fields []string) bool {
	takes := false
	for _, part := range strings.Split(strings.Join(fields, ","), ",") {
		coding, parameter, _ := strings.Cut(strings.ToLower(part), ";")
		coding = strings.TrimSpace(coding)
		if coding != "gzip" && coding != "*" {
			continue
		}
		weight, stated := strings.CutPrefix(strings.TrimSpace(parameter), "q=")
		q, err := strconv.ParseFloat(weight, 64)
		takes = !stated || err == nil && q > 0
		if coding == "gzip" {
			return takes
		}
	}
	return takes
}

// Route returns the path template of a request's route, for logs: the path itself may hold what only the caller must know, such as the name of
// an offer or of a session.
func Route(r *http.Request) string {
	route := mux.CurrentRoute(r)
	if route == nil {
		return ""
	}
	template, _ := route.GetPathTemplate() // "" for a route without one
	return template
}

// SecureHeaders sets the header fields that keep a browser from doing more with an answer than it should. Pages that need scripts or
// styles replace Content-Security-Policy.
func SecureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		maps.Copy(h, secureHeaders)
		if r.TLS != nil {
			h["Strict-Transport-Security"] = strictTransport
		}
		next.ServeHTTP(w, r)
	})
}

// Fields that all answers have share their values, each a list of one: who sets or adds to a field gets a list of its own.
var (
	secureHeaders = http.Header{
		"X-Content-Type-Options":  {"nosniff"},
		"X-Frame-Options":         {"DENY"},
		"Referrer-Policy":         {"no-referrer"},
		"Content-Security-Policy": {"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"},
	}
	strictTransport = []string{"max-age=31536000"}
	corsHeaders     = http.Header{
		"Access-Control-Allow-Origin":   {"*"},
		"Access-Control-Expose-Headers": {"DPoP-Nonce, OAuth-Client-Attestation-Challenge, WWW-Authenticate, Retry-After, Location"},
	}
)

// CORS lets pages of any origin call the endpoints behind it: wallets run in browsers, and nothing here goes by cookies. It answers preflights.
func CORS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		maps.Copy(h, corsHeaders)
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST")
			h.Set("Access-Control-Allow-Headers", "Accept, Accept-Language, Authorization, Content-Type, DPoP, OAuth-Client-Attestation, OAuth-Client-Attestation-PoP")
			h.Set("Access-Control-Max-Age", "3600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// LimitBody bounds every request body; reading past it gives [ErrTooLarge] from the readers of this package.
func LimitBody(maxBytes int64, next http.Handler) http.Handler {
	return http.MaxBytesHandler(next, maxBytes)
}
