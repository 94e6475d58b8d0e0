package oid4vc

import (
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func validRequest() *AuthorizationRequest {
	return &AuthorizationRequest{ClientID: clientID, RedirectURI: "https://wallet.example/cb?x=1", State: "s", CodeChallenge: CodeChallenge(strings.Repeat("v", 43)), Scope: []string{"a", "b"},
		Details:     []AuthorizationDetail{{Type: TypeOpenIDCredential, ConfigurationID: "a", Claims: []ClaimDescription{{Path: ClaimPath{"x", 0}}}, Locations: []string{issuerID}}},
		IssuerState: "i", Resource: []string{"https://r.example", "https://q.example"}, DPoPJKT: CodeChallenge("k")}
}

func TestAuthorizationRequest(t *testing.T) {
	form, err := validRequest().Values()
	if err != nil {
		t.Fatal(err)
	}
	form.Set("unknown", "x")
	got, err := ParseAuthorizationRequest(form)
	if err != nil || !reflect.DeepEqual(got, validRequest()) {
		t.Fatalf("got %+v, %v", got, err)
	}
	rows := []struct {
		name  string
		spoil func(f url.Values)
		want  *Refusal
	}{
		{"parameter twice", func(f url.Values) { f.Add("state", "t") }, ErrParameterTwice},
		{"parameter long", func(f url.Values) { f.Set("x", strings.Repeat("x", maxOfferLink+1)) }, ErrParameterLength},
		{"request_uri", func(f url.Values) { f.Set("request_uri", "urn:x") }, ErrRequestURI},
		{"request", func(f url.Values) { f.Set("request", "a.b.c") }, ErrRequestObject},
		{"client_id", func(f url.Values) { f.Del("client_id") }, ErrClientID},
		{"response_type missing", func(f url.Values) { f.Del("response_type") }, ErrResponseTypeMissing},
		{"response_mode fragment", func(f url.Values) { f.Set("response_mode", "fragment") }, ErrResponseMode},
		{"response_type token", func(f url.Values) { f.Set("response_type", "token") }, ErrResponseType},
		{"redirect_uri missing", func(f url.Values) { f.Del("redirect_uri") }, ErrRedirectURI},
		{"redirect_uri script", func(f url.Values) { f.Set("redirect_uri", "javascript:alert(1)") }, ErrRedirectURI},
		{"challenge missing", func(f url.Values) { f.Del("code_challenge") }, ErrCodeChallenge},
		{"challenge short", func(f url.Values) { f.Set("code_challenge", "abc") }, ErrCodeChallenge},
		{"challenge plain", func(f url.Values) { f.Set("code_challenge_method", "plain") }, ErrCodeChallenge},
		{"challenge method missing", func(f url.Values) { f.Del("code_challenge_method") }, ErrCodeChallenge},
		{"dpop_jkt", func(f url.Values) { f.Set("dpop_jkt", "x") }, ErrDPoPThumbprint},
		{"scope", func(f url.Values) { f.Set("scope", "a  b") }, ErrScope},
		{"scope quote", func(f url.Values) { f.Set("scope", `a"`) }, ErrScope},
		{"details", func(f url.Values) { f.Set("authorization_details", "{}") }, ErrAuthorizationDetails},
		{"details empty", func(f url.Values) { f.Set("authorization_details", "[]") }, ErrAuthorizationDetails},
		{"details element", func(f url.Values) { f.Set("authorization_details", "[1]") }, ErrAuthorizationDetails},
		{"details type unknown", func(f url.Values) { f.Set("authorization_details", `[{"type":"other"}]`) }, ErrAuthorizationDetails},
		{"details type missing", func(f url.Values) { f.Set("authorization_details", `[{"credential_configuration_id":"a"}]`) }, ErrAuthorizationDetails},
		{"details id missing", func(f url.Values) { f.Set("authorization_details", `[{"type":"openid_credential"}]`) }, ErrAuthorizationDetails},
		{"details id number", func(f url.Values) {
			f.Set("authorization_details", `[{"type":"openid_credential","credential_configuration_id":1}]`)
		}, ErrAuthorizationDetails},
		{"details member twice", func(f url.Values) {
			f.Set("authorization_details", `[{"type":"openid_credential","type":"openid_credential","credential_configuration_id":"a"}]`)
		}, ErrAuthorizationDetails},
		{"details claims empty", func(f url.Values) {
			f.Set("authorization_details", `[{"type":"openid_credential","credential_configuration_id":"a","claims":[]}]`)
		}, ErrAuthorizationDetails},
		{"details claims twice", func(f url.Values) {
			f.Set("authorization_details", `[{"type":"openid_credential","credential_configuration_id":"a","claims":[{"path":["a"]},{"path":["a"]}]}]`)
		}, ErrAuthorizationDetails},
		{"details locations empty", func(f url.Values) {
			f.Set("authorization_details", `[{"type":"openid_credential","credential_configuration_id":"a","locations":[]}]`)
		}, ErrAuthorizationDetails},
	}
	for _, row := range rows {
		form, err := validRequest().Values()
		if err != nil {
			t.Fatal(err)
		}
		row.spoil(form)
		if _, err := ParseAuthorizationRequest(form); RefusalOf(err) != row.want {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
}

func TestCheckLocations(t *testing.T) {
	at, none, other := []AuthorizationDetail{{Locations: []string{issuerID}}}, []AuthorizationDetail{{}}, []AuthorizationDetail{{Locations: []string{"https://a.example"}}}
	for _, row := range []struct {
		details  []AuthorizationDetail
		required bool
		ok       bool
	}{{at, true, true}, {at, false, true}, {none, false, true}, {none, true, false}, {other, false, false}, {nil, true, true}} {
		if err := CheckLocations(row.details, issuerID, row.required); (err == nil) != row.ok {
			t.Errorf("%+v: got %v", row, err)
		}
	}
}

func TestCheckRedirectURI(t *testing.T) {
	for _, uri := range []string{"https://wallet.example/cb", "https://wallet.example/cb?x=1", "http://127.0.0.1:9999/cb", "http://[::1]/cb", "com.example.wallet:/cb", "eudi-openid4ci://authorize"} {
		if err := CheckRedirectURI(uri); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
	for _, uri := range []string{"", "/cb", "wallet.example/cb", "http://wallet.example/cb", "https://wallet.example/cb#f", "https://wallet.example/#", "https://u:p@wallet.example/", "javascript:alert(1)", "data:text/html,x", "file:///x", "blob:x", "https://wallet.example/\n", "https://", "https://a.example/\"x"} {
		if err := CheckRedirectURI(uri); !errors.Is(err, ErrIdentifier) {
			t.Errorf("%q: got %v, want %v", uri, err, ErrIdentifier)
		}
	}
}

// The example of RFC 7636, Appendix B.
func TestPKCE(t *testing.T) {
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	if got := CodeChallenge(verifier); got != challenge {
		t.Errorf("got %s", got)
	}
	if err := CheckCodeVerifier(verifier, challenge); err != nil {
		t.Error(err)
	}
	fresh := NewCodeVerifier()
	if err := CheckCodeVerifier(fresh, CodeChallenge(fresh)); err != nil || fresh == NewCodeVerifier() {
		t.Errorf("fresh: %v", err)
	}
	for name, v := range map[string]string{"other": fresh, "empty": "", "short": verifier[:42], "long": strings.Repeat("a", 129), "character": verifier[:42] + "!", "challenge itself": challenge} {
		if err := CheckCodeVerifier(v, challenge); !errors.Is(err, ErrCodeVerifier) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	bad := strings.Repeat("é", 43)
	if err := CheckCodeVerifier(bad, CodeChallenge(bad)); !errors.Is(err, ErrCodeVerifier) {
		t.Errorf("not ASCII: got %v", err)
	}
}

func TestPushedResponse(t *testing.T) {
	if r, err := ParsePushedResponse([]byte(`{"request_uri":"urn:x","expires_in":60,"x":1}`)); err != nil || r.RequestURI != "urn:x" || r.ExpiresIn != 60 {
		t.Errorf("got %+v, %v", r, err)
	}
	for _, body := range []string{"", "{}", `{"request_uri":"urn:x"}`, `{"request_uri":"","expires_in":60}`, `{"request_uri":"urn:x","expires_in":-1}`, `{"request_uri":"urn:x","expires_in":"60"}`} {
		if _, err := ParsePushedResponse([]byte(body)); err == nil {
			t.Errorf("%s was taken", body)
		}
	}
}

func TestAuthorizationResponse(t *testing.T) {
	server := &ServerMetadata{Issuer: issuerID, IssParameterSupported: true}
	silent := &ServerMetadata{Issuer: issuerID}
	parse := func(query string, server *ServerMetadata) (string, error) {
		v, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		return ParseAuthorizationResponse(v, "s", server)
	}
	iss := "&iss=" + url.QueryEscape(issuerID)
	if code, err := parse("code=c&state=s&x=1"+iss, server); err != nil || code != "c" {
		t.Errorf("got %s, %v", code, err)
	}
	if code, err := parse("code=c&state=s", silent); err != nil || code != "c" {
		t.Errorf("got %s, %v", code, err)
	}
	var failed *ErrorResponse
	if _, err := parse("error=access_denied&error_description=no&state=s"+iss, server); !errors.As(err, &failed) || failed.Code != CodeAccessDenied {
		t.Errorf("got %v", err)
	}
	for _, row := range []struct {
		name, query string
		server      *ServerMetadata
		want        error
	}{
		{"state", "code=c&state=t" + iss, server, ErrResponseState},
		{"state missing", "code=c" + iss, server, ErrResponseState},
		{"state of an error", "error=x" + iss, server, ErrResponseState},
		{"iss missing", "code=c&state=s", server, ErrResponseIssuer},
		{"iss of another", "code=c&state=s&iss=https%3A%2F%2Fevil.example", server, ErrResponseIssuer},
		{"iss of another, not announced", "code=c&state=s&iss=https%3A%2F%2Fevil.example", silent, ErrResponseIssuer},
		{"iss empty", "code=c&state=s&iss=", silent, ErrResponseIssuer},
		{"iss of an error", "error=x&state=s", server, ErrResponseIssuer},
		{"neither", "state=s" + iss, server, ErrResponseCode},
		{"both", "code=c&error=x&state=s" + iss, server, ErrResponseCode},
		{"twice", "code=c&code=d&state=s" + iss, server, ErrResponseCode},
		{"long", "code=" + strings.Repeat("c", maxOpaque+1) + "&state=s" + iss, server, ErrResponseCode},
	} {
		if _, err := parse(row.query, row.server); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	if _, err := ParseAuthorizationResponse(url.Values{"code": {"c"}, "state": {""}}, "", silent); !errors.Is(err, ErrResponseState) {
		t.Errorf("no state was sent: got %v", err)
	}
}

func TestRedirectTo(t *testing.T) {
	for uri, want := range map[string]string{"https://a.example/cb": "https://a.example/cb?code=c+d", "https://a.example/cb?x=1": "https://a.example/cb?x=1&code=c+d", "app:/cb": "app:/cb?code=c+d"} {
		if got, err := RedirectTo(uri, url.Values{"code": {"c d"}}); err != nil || got != want {
			t.Errorf("%s: got %s, %v", uri, got, err)
		}
	}
	if _, err := RedirectTo("%", nil); !errors.Is(err, ErrRedirectURI) {
		t.Errorf("got %v", err)
	}
}

func TestTokenRequest(t *testing.T) {
	valid := map[string]*TokenRequest{
		"code":           {GrantType: GrantAuthorizationCode, ClientID: clientID, Code: "c", RedirectURI: "https://wallet.example/cb", CodeVerifier: "v", Resource: []string{"a", "b"}},
		"pre-authorized": {GrantType: GrantPreAuthorizedCode, PreAuthorizedCode: "p", TxCode: "1234", Details: []AuthorizationDetail{{Type: TypeOpenIDCredential, ConfigurationID: "a"}}},
		"refresh":        {GrantType: GrantRefreshToken, RefreshToken: "r", Scope: []string{"a"}},
	}
	for name, r := range valid {
		form, err := r.Values()
		if err != nil {
			t.Fatal(err)
		}
		form.Set("unknown", "1")
		if got, err := ParseTokenRequest(form); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	rows := []struct {
		grant, name string
		spoil       func(f url.Values)
		want        *Refusal
	}{
		{"code", "grant missing", func(f url.Values) { f.Del("grant_type") }, ErrTokenParameter},
		{"code", "grant password", func(f url.Values) { f.Set("grant_type", "password") }, ErrGrantType},
		{"code", "code missing", func(f url.Values) { f.Del("code") }, ErrTokenParameter},
		{"code", "redirect_uri missing", func(f url.Values) { f.Del("redirect_uri") }, ErrTokenParameter},
		{"code", "tx_code", func(f url.Values) { f.Set("tx_code", "1") }, ErrTokenParameter},
		{"code", "refresh_token", func(f url.Values) { f.Set("refresh_token", "1") }, ErrTokenParameter},
		{"code", "twice", func(f url.Values) { f.Add("code", "d") }, ErrParameterTwice},
		{"code", "scope", func(f url.Values) { f.Set("scope", " ") }, ErrScope},
		{"pre-authorized", "code missing", func(f url.Values) { f.Del("pre-authorized_code") }, ErrTokenParameter},
		{"pre-authorized", "code", func(f url.Values) { f.Set("code", "c") }, ErrTokenParameter},
		{"pre-authorized", "details", func(f url.Values) { f.Set("authorization_details", "x") }, ErrAuthorizationDetails},
		{"refresh", "token missing", func(f url.Values) { f.Del("refresh_token") }, ErrTokenParameter},
		{"refresh", "code", func(f url.Values) { f.Set("code", "c") }, ErrTokenParameter},
	}
	for _, row := range rows {
		form, err := valid[row.grant].Values()
		if err != nil {
			t.Fatal(err)
		}
		row.spoil(form)
		if _, err := ParseTokenRequest(form); RefusalOf(err) != row.want {
			t.Errorf("%s, %s: got %v, want %v", row.grant, row.name, err, row.want)
		}
	}
}

func TestTokenResponse(t *testing.T) {
	text := jsonOf(t, TokenResponse{AccessToken: "a", TokenType: "dpop", ExpiresIn: 300, RefreshToken: "r",
		Details: []AuthorizationDetail{{Type: TypeOpenIDCredential, ConfigurationID: "a", Identifiers: []string{"i", "j"}}}})
	r, err := ParseTokenResponse(text, true)
	if err != nil || !r.IsDPoP() || r.Authorization() != "DPoP a" {
		t.Fatalf("got %+v, %v", r, err)
	}
	rows := []struct {
		name  string
		spoil func(m object)
	}{
		{"token missing", func(m object) { delete(m, "access_token") }},
		{"token with space", func(m object) { m["access_token"] = "a b" }},
		{"token with line break", func(m object) { m["access_token"] = "a\r\nX: y" }},
		{"type missing", func(m object) { delete(m, "token_type") }},
		{"type mac", func(m object) { m["token_type"] = "mac" }},
		{"expires_in negative", func(m object) { m["expires_in"] = -1 }},
		{"details missing", func(m object) { delete(m, "authorization_details") }},
		{"identifiers missing", func(m object) { delete(m["authorization_details"].([]any)[0].(object), "credential_identifiers") }},
		{"identifiers empty", func(m object) { m["authorization_details"].([]any)[0].(object)["credential_identifiers"] = []any{} }},
		{"identifiers twice", func(m object) {
			m["authorization_details"].([]any)[0].(object)["credential_identifiers"] = []any{"i", "i"}
		}},
		{"configuration missing", func(m object) { delete(m["authorization_details"].([]any)[0].(object), "credential_configuration_id") }},
	}
	for _, row := range rows {
		if _, err := ParseTokenResponse(spoilt(t, text, row.spoil), true); !errors.Is(err, ErrTokenResponse) {
			t.Errorf("%s: got %v, want %v", row.name, err, ErrTokenResponse)
		}
	}
	if _, err := ParseTokenResponse([]byte("<html>"), false); !errors.Is(err, ErrTokenResponse) {
		t.Errorf("HTML: got %v", err)
	}
	if r, err := ParseTokenResponse([]byte(`{"access_token":"a","token_type":"BEARER","authorization_details":[{"type":"other"}]}`), false); err != nil || r.IsDPoP() || r.Authorization() != "Bearer a" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestAccessToken(t *testing.T) {
	header := func(values ...string) http.Header { return http.Header{"Authorization": values} }
	for value, want := range map[string]string{"DPoP abc": TokenDPoP, "dpop abc": TokenDPoP, "Bearer abc": TokenBearer, "BEARER abc": TokenBearer} {
		if scheme, token, err := AccessToken(header(value)); err != nil || scheme != want || token != "abc" {
			t.Errorf("%s: got %s %s, %v", value, scheme, token, err)
		}
	}
	rows := map[string]*Refusal{"": ErrAuthorizationHeader, "DPoP": ErrAuthorizationHeader, "DPoP ": ErrAuthorizationHeader, "DPoP a b": ErrAuthorizationHeader, "DPoP  a": ErrAuthorizationHeader, "DPoP é": ErrAuthorizationHeader,
		"Basic abc": ErrNoToken, "DPoP " + strings.Repeat("x", maxOpaque+1): ErrAuthorizationHeader}
	for value, want := range rows {
		if _, _, err := AccessToken(header(value)); RefusalOf(err) != want {
			t.Errorf("%.20q: got %v, want %v", value, err, want)
		}
	}
	if _, _, err := AccessToken(http.Header{}); RefusalOf(err) != ErrNoToken {
		t.Errorf("none: got %v", err)
	}
	if _, _, err := AccessToken(header("DPoP a", "Bearer a")); RefusalOf(err) != ErrAuthorizationHeader {
		t.Errorf("two: got %v", err)
	}
}
