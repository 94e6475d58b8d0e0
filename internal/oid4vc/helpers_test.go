package oid4vc

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"akashi/internal/keys"
)

var now = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

const (
	issuerID = "https://issuer.example/o/1234"
	clientID = "https://wallet.example"
)

func newKey(t testing.TB, alg keys.Alg) *keys.Private {
	t.Helper()
	key, err := keys.Generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

type object = map[string]any

// respell signs a token anew after header and claims were spoilt.
func respell(t testing.TB, key *keys.Private, compact string, spoil func(header, claims object)) string {
	t.Helper()
	u, err := keys.ParseToken(compact)
	if err != nil {
		t.Fatal(err)
	}
	var header, claims object
	if err := errors.Join(json.Unmarshal(u.Header().Raw, &header), json.Unmarshal(u.UnverifiedPayload(), &claims)); err != nil {
		t.Fatal(err)
	}
	delete(header, "alg")
	spoil(header, claims)
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	again, err := key.Sign(header, payload)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// unsigned makes a token with any header and no valid signature.
func unsigned(t testing.TB, header object, compact string) string {
	t.Helper()
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(compact, ".")
	return b64.EncodeToString(text) + "." + parts[1] + "." + parts[2]
}

// headerOf is the header of a token to spoil.
func headerOf(t testing.TB, compact string) (header object) {
	t.Helper()
	h, err := keys.PeekHeader(compact)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(h.Raw, &header); err != nil {
		t.Fatal(err)
	}
	return header
}

// secretJWK is the private key as members.
func secretJWK(t testing.TB, key *keys.Private) (members object) {
	t.Helper()
	text, err := key.MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	return members
}

func jsonOf(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// spoilt decodes a valid JSON document anew for each row and encodes it after the spoiling.
func spoilt(t testing.TB, valid []byte, spoil func(object)) []byte {
	t.Helper()
	var m object
	if err := json.Unmarshal(valid, &m); err != nil {
		t.Fatal(err)
	}
	spoil(m)
	return jsonOf(t, m)
}

// Every description may go into error_description (RFC 6749, Section 5.2) and into WWW-Authenticate, and no two refusals have the same.
func TestRefusalsAreASCII(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if name, ok := call.Fun.(*ast.Ident); !ok || name.Name != "refuse" {
				return true
			}
			text, err := strconv.Unquote(call.Args[1].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			if seen[text] {
				t.Errorf("%q stands twice", text)
			}
			seen[text] = true
			if strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' || r == '\\' }) {
				t.Errorf("%q has a character that error_description must not have", text)
			}
			return true
		})
	}
	if len(seen) < 80 {
		t.Errorf("only %d refusals were looked at", len(seen))
	}
}

func TestRefusalOf(t *testing.T) {
	err := ErrDPoPSignature.because(keys.ErrSignature)
	r := RefusalOf(err)
	if r != ErrDPoPSignature || !errors.Is(err, keys.ErrSignature) || !errors.Is(err, ErrDPoPSignature) || errors.Is(err, ErrDPoPKey) {
		t.Errorf("got %v of %v", r, err)
	}
	if status, code, text := r.OAuthError(); status != 400 || code != "invalid_dpop_proof" || text != r.Error() {
		t.Errorf("got %d %s %s", status, code, text)
	}
	if RefusalOf(errors.New("x")) != nil {
		t.Error("any error is a refusal")
	}
	for refusal, want := range map[*Refusal]int{ErrInvalidClient: 401, ErrInvalidToken: 401, ErrNoToken: 401, ErrInsufficientScope: 403, ErrInvalidNonce: 400, ErrUseAttestationChallenge: 400} {
		if refusal.Status != want {
			t.Errorf("%s: status %d", refusal.Code, refusal.Status)
		}
	}
}

func TestErrorResponse(t *testing.T) {
	e := ParseErrorResponse(400, []byte(`{"error":"invalid_grant","error_description":"late\u001b[31m","x":1}`))
	if e.Code != "invalid_grant" || e.Status != 400 || e.Error() != "the server answered invalid_grant: late?[31m" {
		t.Errorf("got %+v: %s", e, e)
	}
	for _, body := range []string{"", "<html>", "{}", `{"error":1}`, `{"error":"a","error":"b"}`} {
		if e := ParseErrorResponse(502, []byte(body)); e.Status != 502 || e.Code != "" || !strings.Contains(e.Error(), "502") {
			t.Errorf("%s: got %+v", body, e)
		}
	}
	if got := printable(strings.Repeat("x", 1000) + "\u202e"); len(got) != 300 {
		t.Errorf("got %d characters", len(got))
	}
}
