package web

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
)

// oauthError is an error that knows its answer. The description is the same for every request, so it may go to anyone.
type oauthError interface {
	error
	OAuthError() (status int, code, description string)
}

// oauthBody is the error response of RFC 6749, Section 5.2.
type oauthBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// answerOf finds what to answer. fallback is the endpoint's code for a malformed request. Errors that know no answer are internal: they are
// logged, and the client learns nothing.
func answerOf(r *http.Request, err error, fallback string, log *slog.Logger) (status int, body oauthBody) {
	var known oauthError
	if errors.As(err, &known) {
		status, code, description := known.OAuthError()
		log.DebugContext(r.Context(), "request refused", "route", Route(r), "code", code, "error", err)
		return status, oauthBody{code, description}
	}
	for _, malformed := range []error{ErrMediaType, ErrBody, ErrTwice} {
		if errors.Is(err, malformed) {
			return http.StatusBadRequest, oauthBody{fallback, malformed.Error()}
		}
	}
	if errors.Is(err, ErrTooLarge) {
		return http.StatusRequestEntityTooLarge, oauthBody{fallback, ErrTooLarge.Error()}
	}
	if r.Context().Err() == nil {
		log.ErrorContext(r.Context(), "request failed", "route", Route(r), "error", err)
	}
	return http.StatusInternalServerError, oauthBody{Error: "server_error"}
}

// WriteOAuthError answers an error at an endpoint of an authorization server or credential issuer, in JSON that is never cached. Header fields that
// go with the code, such as DPoP-Nonce, the caller sets before.
func WriteOAuthError(w http.ResponseWriter, r *http.Request, err error, fallback string, log *slog.Logger) {
	status, body := answerOf(r, err, fallback, log)
	if scheme := attemptedScheme(r); status == http.StatusUnauthorized && scheme != "" { // RFC 6749, Section 5.2: in the scheme that was tried
		w.Header().Set("WWW-Authenticate", scheme+` realm="akashi"`)
	}
	WriteJSON(w, status, body)
}

// attemptedScheme is the scheme of an Authorization header, "" for none that could be repeated.
func attemptedScheme(r *http.Request) string {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.ContainsFunc(scheme, func(c rune) bool { return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') }) || len(scheme) > 20 {
		return ""
	}
	return scheme
}

// WriteResourceError answers an error at a protected resource. With status 401 or 403 it adds the challenges of RFC 6750, Section 3 and RFC
// 9449, Section 7.1 for the schemes; an error of the DPoP proof is answered with 401 there.
func WriteResourceError(w http.ResponseWriter, r *http.Request, err error, fallback string, c Challenge, log *slog.Logger) {
	status, body := answerOf(r, err, fallback, log)
	if body.Error == "use_dpop_nonce" || body.Error == "invalid_dpop_proof" {
		status = http.StatusUnauthorized
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		for _, scheme := range c.Schemes {
			w.Header().Add("WWW-Authenticate", c.field(scheme, body))
		}
	}
	WriteJSON(w, status, body)
}

// Challenge says how a protected resource asks for a token.
type Challenge struct {
	Schemes  []string // DPoP, Bearer
	DPoPAlgs []string
	Bare     bool // without an error code, for requests that carried no token (RFC 6750, Section 3.1)
}

func (c Challenge) field(scheme string, body oauthBody) string {
	var parameters []string
	if !c.Bare {
		parameters = append(parameters, `error="`+body.Error+`"`)
		if body.Description != "" {
			parameters = append(parameters, `error_description="`+body.Description+`"`)
		}
	}
	if scheme == "DPoP" && len(c.DPoPAlgs) > 0 {
		parameters = append(parameters, `algs="`+strings.Join(c.DPoPAlgs, " ")+`"`)
	}
	return strings.TrimSpace(scheme + " " + strings.Join(parameters, ", "))
}

// Problem is a problem of RFC 9457, for endpoints without a standard of their own.
type Problem struct {
	Type   string `json:"type,omitempty"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// WriteProblem answers with a problem.
func WriteProblem(w http.ResponseWriter, p Problem) {
	body, _ := json.Marshal(p) // strings and a number always marshal
	WriteBody(w, p.Status, "application/problem+json", body)
}

// ProblemHandler answers every request with one problem, for routers.
func ProblemHandler(status int, title string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { WriteProblem(w, Problem{Title: title, Status: status}) })
}
