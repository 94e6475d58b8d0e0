package web

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"akashi/internal/keys"
)

// MaxBody bounds a body where no [LimitBody] asks for less.
const MaxBody = 1 << 20

// Errors of reading a request. They carry the status to answer with.
var (
	ErrMediaType = errors.New("the request has another Content-Type than this endpoint takes")
	ErrTooLarge  = errors.New("the request is too large")
	ErrBody      = errors.New("the request body is malformed")
	ErrTwice     = errors.New("a parameter stands more than once")
)

// ReadBody reads a body of one of the media types, and returns which.
func ReadBody(r *http.Request, mediaTypes ...string) (mediaType string, body []byte, err error) {
	fields := r.Header.Values("Content-Type")
	if len(fields) != 1 {
		return "", nil, ErrMediaType
	}
	mediaType, parameters, err := mime.ParseMediaType(fields[0])
	if err != nil || !slices.Contains(mediaTypes, mediaType) || !isUTF8(parameters["charset"]) {
		return "", nil, ErrMediaType
	}
	if len(r.Header.Values("Content-Encoding")) > 0 {
		return "", nil, ErrMediaType
	}
	body, err = io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) || len(body) > MaxBody {
		return "", nil, ErrTooLarge
	}
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrBody, err)
	}
	return mediaType, body, nil
}

func isUTF8(charset string) bool { return charset == "" || strings.EqualFold(charset, "utf-8") }

// ReadForm reads a form (application/x-www-form-urlencoded). A parameter must not stand twice (RFC 6749, Section 3.2) unless it is one of
// repeatable. Parameters in the URL are not looked at.
func ReadForm(r *http.Request, repeatable ...string) (url.Values, error) {
	_, body, err := ReadBody(r, "application/x-www-form-urlencoded")
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, ErrBody // the error of net/url quotes the body
	}
	return form, CheckOnce(form, repeatable...)
}

// CheckOnce refuses a parameter that stands twice, for queries as for forms.
func CheckOnce(form url.Values, repeatable ...string) error {
	for name, values := range form {
		if len(values) > 1 && !slices.Contains(repeatable, name) {
			return ErrTwice
		}
	}
	return nil
}

// ReadJSON reads a JSON body (application/json) strictly, see [keys.DecodeJSON].
func ReadJSON(r *http.Request, v any) error {
	_, body, err := ReadBody(r, "application/json")
	if err != nil {
		return err
	}
	if err := keys.DecodeJSON(body, v); err != nil {
		return fmt.Errorf("%w: %w", ErrBody, err)
	}
	return nil
}
