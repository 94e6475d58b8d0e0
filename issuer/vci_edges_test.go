package issuer_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"akashi/internal/oid4vc"
	"akashi/issuer"
	"akashi/issuer/issuertest"
)

// TestVCISeveralAsked asks for several credentials in one request: each counts on its own, and what the offer is for is given.
func TestVCISeveralAsked(t *testing.T) {
	w := newHostileWorld(t)
	card, contract := strings.Trim(details("staff-card"), "[]"), strings.Trim(details("engagement"), "[]")
	for name, row := range map[string]struct {
		scope, details string
		identifiers    bool
	}{
		"two scopes":                         {"engagement staff-card", "", false},
		"two details":                        {"", "[" + contract + "," + card + "]", true},
		"details and a scope for another":    {"staff-card", "[" + contract + "]", false},
		"a scope for another and details":    {"engagement", "[" + card + "]", true},
		"details and a scope for the same":   {"staff-card", "[" + card + "]", true},
		"the same details twice":             {"", "[" + card + "," + card + "]", true},
		"details with claims and more of it": {"", `[{"type":"openid_credential","credential_configuration_id":"staff-card","claims":[{"path":["number"]}],"unknown":1}]`, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := w.wallet(w.Orgs["employer-A"].Issuer)
			form, _ := w.approved(t, "public", p, func(f url.Values) {
				f.Del("scope")
				for name, value := range map[string]string{"scope": row.scope, "authorization_details": row.details} {
					if value != "" {
						f.Set(name, value)
					}
				}
			})
			p.redeemed(form)
			if row.identifiers != (len(p.token.Details) == 1) || !row.identifiers && p.token.Scope != "staff-card" {
				t.Errorf("token response %+v", p.token)
			}
			p.collect("staff-card")
		})
	}
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	for _, text := range []string{"[" + card + "," + strings.Trim(details("nothing"), "[]") + "]", "[" + card + `,{"type":"other"}]`, "[]", "{}", "[" + card} {
		form := pushedForm(t, issuer.PublicWallet, loopbackRedirect)
		form.Set("authorization_details", text)
		p.form("/par", form).refused(http.StatusBadRequest, oid4vc.CodeInvalidAuthorizationDetails)
	}
}

// TestVCIClientsMustAuthenticate asks as every kind of client where the operator requires authentication, as HAIP 1.0 does.
func TestVCIClientsMustAuthenticate(t *testing.T) {
	w := &hostileWorld{provider: issuertest.Key(t), client: issuertest.Key(t)}
	w.vciWorld = newVCIWorld(t, issuer.VCIConfig{Authenticated: true, WalletKeys: []json.RawMessage{w.provider.Public().JWK()},
		Clients: []issuer.VCIClient{{ID: "bank-app", RedirectURIs: []string{"https://app.example/back"}, Keys: []json.RawMessage{w.client.Public().JWK()}}}})
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	p.form("/token", preAuthorized(w.offer("employer-A", example("staff-card")))).refused(http.StatusUnauthorized, oid4vc.CodeInvalidClient)
	p.form("/token", preAuthorized(w.offer("employer-A", example("staff-card")), "client_id", issuer.PublicWallet)).refused(http.StatusUnauthorized, oid4vc.CodeInvalidClient)
	p.form("/par", pushedForm(t, issuer.PublicWallet, loopbackRedirect)).refused(http.StatusUnauthorized, oid4vc.CodeInvalidClient)
	for _, kind := range []string{"private_key_jwt", "attestation", "attestation by DPoP"} {
		q := w.wallet(p.issuer)
		form, header := w.approved(t, kind, q, nil)
		q.redeemed(form, header...)
		q.collect("staff-card")
	}
	q := w.wallet(p.issuer)
	q.clientID = "good-wallet"
	form := preAuthorized(w.offer("employer-A", example("staff-card")), "client_id", "good-wallet")
	q.redeemed(form, w.authentication(t, "attestation", q, form)...)
	q.collect("staff-card")
	at, err := oid4vc.WellKnown(oid4vc.WellKnownAuthorizationServer, p.issuer)
	if err != nil {
		t.Fatal(err)
	}
	m, err := oid4vc.ParseServerMetadata(w.get(at).want(http.StatusOK).body, p.issuer)
	if err != nil || m.AnonymousPreAuthorized || strings.Contains(strings.Join(m.TokenAuthMethodsSupported, " "), oid4vc.AuthNone) {
		t.Errorf("announced %v, anonymous %t: %v", m.TokenAuthMethodsSupported, m.AnonymousPreAuthorized, err)
	}
}

// TestVCIParameters sends the pushed request with parameters of other standards and of none: what is unknown is ignored, what cannot be done is
// refused, and nothing is taken twice or too long.
func TestVCIParameters(t *testing.T) {
	w := newHostileWorld(t)
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	for name, row := range map[string]struct {
		parameter string
		values    []string
		code      string // "" where it is fine
	}{
		"login_hint":             {"login_hint", []string{"somebody"}, ""},
		"prompt":                 {"prompt", []string{"none"}, ""},
		"nonce of OpenID":        {"nonce", []string{"n"}, ""},
		"acr_values":             {"acr_values", []string{"1 2"}, ""},
		"unknown":                {"x-unknown", []string{""}, ""},
		"wallet_issuer":          {"wallet_issuer", []string{"https://wallet.example"}, ""},
		"resource of two":        {"resource", []string{"https://a.example", "https://b.example"}, ""},
		"response_mode query":    {"response_mode", []string{"query"}, ""},
		"response_mode fragment": {"response_mode", []string{"fragment"}, oid4vc.CodeInvalidRequest},
		"response_mode form":     {"response_mode", []string{"form_post"}, oid4vc.CodeInvalidRequest},
		"response_mode jwt":      {"response_mode", []string{"jwt"}, oid4vc.CodeInvalidRequest},
		"request object":         {"request", []string{"e30.e30."}, oid4vc.CodeInvalidRequest},
		"state twice":            {"state", []string{"a", "b"}, oid4vc.CodeInvalidRequest},
		"unknown twice":          {"x-unknown", []string{"a", "b"}, oid4vc.CodeInvalidRequest},
		"client_id twice":        {"client_id", []string{issuer.PublicWallet, "other"}, oid4vc.CodeInvalidRequest},
		"code_challenge twice":   {"code_challenge", []string{"a", "b"}, oid4vc.CodeInvalidRequest},
		"very long state":        {"state", []string{strings.Repeat("s", 60<<10)}, oid4vc.CodeInvalidRequest},
		"very long scope":        {"scope", []string{strings.Repeat("staff-card ", 8<<10)}, oid4vc.CodeInvalidRequest},
		"scope of two spaces":    {"scope", []string{"staff-card  engagement"}, oid4vc.CodeInvalidScope},
		"hybrid":                 {"response_type", []string{"code id_token"}, oid4vc.CodeUnsupportedResponseType},
		"no response_type":       {"response_type", nil, oid4vc.CodeInvalidRequest},
		"no client_id":           {"client_id", nil, oid4vc.CodeInvalidRequest},
		"no redirect_uri":        {"redirect_uri", nil, oid4vc.CodeInvalidRequest},
		"fragment in redirect":   {"redirect_uri", []string{loopbackRedirect + "#x"}, oid4vc.CodeInvalidRequest},
		"query in redirect":      {"redirect_uri", []string{loopbackRedirect + "?x=1"}, oid4vc.CodeInvalidRequest},
		"short challenge":        {"code_challenge", []string{"abc"}, oid4vc.CodeInvalidRequest},
		"dpop_jkt of no key":     {"dpop_jkt", []string{"abc"}, oid4vc.CodeInvalidRequest},
		"assertion of no type":   {"client_assertion", []string{"a.b.c"}, oid4vc.CodeInvalidClient},
	} {
		t.Run(name, func(t *testing.T) {
			form := pushedForm(t, issuer.PublicWallet, loopbackRedirect)
			form[row.parameter] = row.values
			if row.values == nil {
				form.Del(row.parameter)
			}
			r := p.form("/par", form)
			r.t = t
			switch row.code {
			case "":
				r.want(http.StatusCreated)
			case oid4vc.CodeInvalidClient:
				r.refused(http.StatusUnauthorized, row.code)
			default:
				r.refused(http.StatusBadRequest, row.code)
			}
		})
	}
}

// TestVCITokenParameters sends token requests that are wrong before any code is looked at.
func TestVCITokenParameters(t *testing.T) {
	w := newHostileWorld(t)
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	for name, row := range map[string]struct {
		spoil  func(url.Values)
		status int
		code   string
	}{
		"no grant_type":         {func(f url.Values) { f.Del("grant_type") }, 400, oid4vc.CodeInvalidRequest},
		"password":              {func(f url.Values) { f.Set("grant_type", "password") }, 400, oid4vc.CodeUnsupportedGrantType},
		"client credentials":    {func(f url.Values) { f.Set("grant_type", "client_credentials") }, 400, oid4vc.CodeUnsupportedGrantType},
		"no code":               {func(f url.Values) { f.Del("pre-authorized_code") }, 400, oid4vc.CodeInvalidRequest},
		"code of another grant": {func(f url.Values) { f.Set("code", "x") }, 400, oid4vc.CodeInvalidRequest},
		"unknown code":          {func(f url.Values) { f.Set("pre-authorized_code", "x") }, 400, oid4vc.CodeInvalidGrant},
		"code twice":            {func(f url.Values) { f.Add("pre-authorized_code", "x") }, 400, oid4vc.CodeInvalidRequest},
		"unknown twice":         {func(f url.Values) { f["x"] = []string{"1", "2"} }, 400, oid4vc.CodeInvalidRequest},
		"client_secret":         {func(f url.Values) { f.Set("client_secret", "s") }, 401, oid4vc.CodeInvalidClient},
		"registered client":     {func(f url.Values) { f.Set("client_id", "bank-app") }, 401, oid4vc.CodeInvalidClient},
		"details of no JSON":    {func(f url.Values) { f.Set("authorization_details", "{") }, 400, oid4vc.CodeInvalidAuthorizationDetails},
		"details of another":    {func(f url.Values) { f.Set("authorization_details", details("engagement")) }, 400, oid4vc.CodeInvalidAuthorizationDetails},
	} {
		t.Run(name, func(t *testing.T) {
			form := preAuthorized(w.offer("employer-A", example("staff-card")))
			row.spoil(form)
			r := p.form("/token", form)
			r.t = t
			r.refused(row.status, row.code)
		})
	}
	// Of a code that was refused for something else nothing is lost, and unknown parameters are ignored.
	form := preAuthorized(w.offer("employer-A", example("staff-card")), "authorization_details", details("engagement"))
	p.form("/token", form).refused(http.StatusBadRequest, oid4vc.CodeInvalidAuthorizationDetails)
	form.Del("authorization_details")
	form.Set("x-unknown", "1")
	form.Set("resource", p.issuer)
	p.redeemed(form)

	for _, endpoint := range []string{"/token", "/par"} {
		for scheme, want := range map[string]string{"Basic YTpi": `Basic realm="akashi"`, "Bearer x": `Bearer realm="akashi"`, "!\" x": ""} {
			r := p.form(endpoint, preAuthorized(w.offer("employer-A", example("staff-card"))), "Authorization", scheme)
			r.refused(http.StatusUnauthorized, oid4vc.CodeInvalidClient)
			if got := r.header.Get("WWW-Authenticate"); got != want {
				t.Errorf("%s with %s: WWW-Authenticate %q, want %q", endpoint, scheme, got, want)
			}
		}
	}
}

// TestVCIAuthorizePage shows a person why it cannot go on, and sends nobody anywhere.
func TestVCIAuthorizePage(t *testing.T) {
	w := newHostileWorld(t)
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	var answer oid4vc.PushedResponse
	p.form("/par", pushedForm(t, issuer.PublicWallet, loopbackRedirect)).want(http.StatusCreated).as(&answer)
	good := url.Values{"client_id": {issuer.PublicWallet}, "request_uri": {answer.RequestURI}}
	for name, query := range map[string]string{
		"nothing": "", "unknown": "client_id=" + issuer.PublicWallet + "&request_uri=urn:ietf:params:oauth:request_uri:x", "another client's": "client_id=bank-app&request_uri=" + url.QueryEscape(answer.RequestURI),
		"twice": good.Encode() + "&client_id=x", "redirect_uri": "redirect_uri=https://evil.example&response_type=code&client_id=" + issuer.PublicWallet,
	} {
		r := w.get(p.issuer+"/authorize?"+query, "Accept", "text/html,application/xhtml+xml")
		if r.status != http.StatusBadRequest || r.header.Get("Location") != "" || name != "twice" && !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %v", name, r.status, r.header)
		}
		if strings.Contains(string(r.body), "evil.example") {
			t.Errorf("%s: the page repeats what it was sent", name)
		}
	}
	r := w.get(p.issuer+"/authorize?"+good.Encode(), "Accept", "text/html").want(http.StatusOK)
	if csp := r.header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("header %v", r.header)
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete} {
		w.do(w.request(method, p.issuer+"/authorize?"+good.Encode(), "", nil)).refused(http.StatusMethodNotAllowed, oid4vc.CodeInvalidRequest)
	}
}

// TestVCIAccept asks for metadata in every way that names a preference.
func TestVCIAccept(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	at, err := oid4vc.WellKnown(oid4vc.WellKnownCredentialIssuer, w.Orgs["bank"].Issuer)
	if err != nil {
		t.Fatal(err)
	}
	const plain, signed = "application/json", "application/jwt"
	for accept, want := range map[string]string{
		"": plain, "*/*": plain, "text/html": plain, "application/json": plain, "application/jwt": signed, "application/jwt, */*;q=0.1": signed, "application/json, application/jwt": plain,
		"application/jwt, application/json": signed, "application/jwt;q=0.5, application/json;q=0.9": plain, "application/jwt;q=0.9, application/json;q=0.5": signed,
		"application/jwt;q=0": plain, "APPLICATION/JWT": signed, "application/jwt;q=x": plain, ";;": plain,
	} {
		r := w.get(at, "Accept", accept).want(http.StatusOK)
		if got := r.header.Get("Content-Type"); got != want || r.header.Get("Vary") != "Accept" {
			t.Errorf("Accept %q: Content-Type %q, Vary %q, want %q", accept, got, r.header.Get("Vary"), want)
		}
	}
}

// TestVCIMetadataShape reads the raw members that strict wallets look for.
func TestVCIMetadataShape(t *testing.T) {
	w := newHostileWorld(t)
	o := w.Orgs["employer-A"]
	at, err := oid4vc.WellKnown(oid4vc.WellKnownCredentialIssuer, o.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]json.RawMessage{}
	w.get(at).want(http.StatusOK).as(&m)
	for name, want := range map[string]string{
		"credential_issuer": `"` + o.Issuer + `"`, "credential_endpoint": `"` + o.Issuer + `/credential"`, "nonce_endpoint": `"` + o.Issuer + `/nonce"`,
		"deferred_credential_endpoint": `"` + o.Issuer + `/deferred"`, "notification_endpoint": `"` + o.Issuer + `/notification"`, "batch_credential_issuance": `{"batch_size":20}`,
		"credential_response_encryption": `{"alg_values_supported":["ECDH-ES"],"enc_values_supported":["A256GCM","A128GCM"],"zip_values_supported":["DEF"],"encryption_required":false}`,
		"authorization_servers":          "",
	} {
		if got := string(m[name]); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	var encryption struct {
		JWKS     struct{ Keys []map[string]string } `json:"jwks"`
		Required *bool                              `json:"encryption_required"`
	}
	if err := json.Unmarshal(m["credential_request_encryption"], &encryption); err != nil || encryption.Required == nil || len(encryption.JWKS.Keys) != 1 {
		t.Fatalf("credential_request_encryption: %s %v", m["credential_request_encryption"], err)
	}
	if jwk := encryption.JWKS.Keys[0]; jwk["kid"] == "" || jwk["alg"] != "ECDH-ES" || jwk["use"] != "enc" || jwk["crv"] != "P-256" || jwk["d"] != "" {
		t.Errorf("encryption key %v", jwk)
	}
	var configurations map[string]map[string]json.RawMessage
	if err := json.Unmarshal(m["credential_configurations_supported"], &configurations); err != nil {
		t.Fatal(err)
	}
	for id, c := range configurations {
		for name, want := range map[string]string{"format": `"dc+sd-jwt"`, "scope": `"` + id + `"`, "credential_signing_alg_values_supported": `["ES256"]`,
			"cryptographic_binding_methods_supported": `["jwk","did:key","did:jwk"]`,
			"proof_types_supported":                   `{"attestation":{"proof_signing_alg_values_supported":["ES256","EdDSA"]},"jwt":{"proof_signing_alg_values_supported":["ES256","EdDSA"]}}`,
			"display":                                 "", "claims": "", "order": ""} {
			if got := string(c[name]); got != want {
				t.Errorf("%s: %s %s, want %s", id, name, got, want)
			}
		}
		var shown struct {
			Display []struct{ Name, Locale string }
			Claims  []struct {
				Path    []any
				Display []struct{ Name, Locale string }
			}
		}
		if err := json.Unmarshal(c["credential_metadata"], &shown); err != nil || len(shown.Display) == 0 || len(shown.Claims) == 0 || string(c["vct"]) == "" {
			t.Errorf("%s: credential_metadata %s %v", id, c["credential_metadata"], err)
		}
		for _, claim := range shown.Claims {
			if len(claim.Path) == 0 {
				t.Errorf("%s: a claim has no path", id)
			}
		}
	}
}

// TestVCICredentialForms sends credential requests whose form is unusual: those of older drafts and careless clients are refused, what the text
// allows is taken.
func TestVCICredentialForms(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	p := w.wallet(w.Orgs["employer-A"].Issuer).redeem(w.offer("employer-A", example("staff-card")))
	for name, row := range map[string]struct {
		body string // with PROOF in it
		code string // "" where it is fine
	}{
		"as it should be":          {`{"credential_configuration_id":"staff-card","proofs":{"jwt":["PROOF"]}}`, ""},
		"unknown members":          {`{"credential_configuration_id":"staff-card","proofs":{"jwt":["PROOF"]},"format":"dc+sd-jwt","x":{"y":[1]}}`, ""},
		"singular proof":           {`{"credential_configuration_id":"staff-card","proof":{"proof_type":"jwt","jwt":"PROOF"}}`, oid4vc.CodeInvalidProof},
		"no proofs":                {`{"credential_configuration_id":"staff-card"}`, oid4vc.CodeInvalidProof},
		"proofs null":              {`{"credential_configuration_id":"staff-card","proofs":null}`, oid4vc.CodeInvalidProof},
		"proofs a string":          {`{"credential_configuration_id":"staff-card","proofs":"PROOF"}`, oid4vc.CodeInvalidProof},
		"proofs without type":      {`{"credential_configuration_id":"staff-card","proofs":{}}`, oid4vc.CodeInvalidProof},
		"no proof in it":           {`{"credential_configuration_id":"staff-card","proofs":{"jwt":[]}}`, oid4vc.CodeInvalidProof},
		"proof not in an array":    {`{"credential_configuration_id":"staff-card","proofs":{"jwt":"PROOF"}}`, oid4vc.CodeInvalidProof},
		"two types":                {`{"credential_configuration_id":"staff-card","proofs":{"jwt":["PROOF"],"attestation":["PROOF"]}}`, oid4vc.CodeInvalidProof},
		"a number for a proof":     {`{"credential_configuration_id":"staff-card","proofs":{"jwt":[1]}}`, oid4vc.CodeInvalidProof},
		"unknown type":             {`{"credential_configuration_id":"staff-card","proofs":{"cwt":["PROOF"]}}`, oid4vc.CodeInvalidProof},
		"no JWT":                   {`{"credential_configuration_id":"staff-card","proofs":{"jwt":["x"]}}`, oid4vc.CodeInvalidProof},
		"the same proof twice":     {`{"credential_configuration_id":"staff-card","proofs":{"jwt":["PROOF","PROOF"]}}`, oid4vc.CodeInvalidProof},
		"configuration a number":   {`{"credential_configuration_id":1,"proofs":{"jwt":["PROOF"]}}`, oid4vc.CodeInvalidCredentialRequest},
		"configuration empty":      {`{"credential_configuration_id":"","proofs":{"jwt":["PROOF"]}}`, oid4vc.CodeInvalidCredentialRequest},
		"format alone":             {`{"format":"dc+sd-jwt","vct":"x","proofs":{"jwt":["PROOF"]}}`, oid4vc.CodeInvalidCredentialRequest},
		"encryption in the open":   {`{"credential_configuration_id":"staff-card","proofs":{"jwt":["PROOF"]},"credential_response_encryption":{"jwk":{"kty":"EC"},"enc":"A256GCM"}}`, oid4vc.CodeInvalidEncryptionParameters},
		"encryption of older form": {`{"credential_configuration_id":"staff-card","proofs":{"jwt":["PROOF"]},"credential_response_encryption":{"jwk":{},"alg":"ECDH-ES","enc":"A256GCM"}}`, oid4vc.CodeInvalidEncryptionParameters},
		"encryption a string":      {`{"credential_configuration_id":"staff-card","proofs":{"jwt":["PROOF"]},"credential_response_encryption":"x"}`, oid4vc.CodeInvalidEncryptionParameters},
		"more after it":            {`{"credential_configuration_id":"staff-card","proofs":{"jwt":["PROOF"]}} {}`, oid4vc.CodeInvalidCredentialRequest},
		"no UTF-8":                 {"{\"credential_configuration_id\":\"\xff\",\"proofs\":{\"jwt\":[\"PROOF\"]}}", oid4vc.CodeInvalidCredentialRequest},
	} {
		t.Run(name, func(t *testing.T) {
			body := strings.ReplaceAll(row.body, "PROOF", p.keyProof(p.holder, p.challenge()))
			r := p.resource("/credential", "application/json; charset=UTF-8", []byte(body))
			r.t = t
			if row.code == "" {
				r.want(http.StatusOK)
				return
			}
			r.refused(http.StatusBadRequest, row.code)
		})
	}
	good := mustJSON(t, p.ask("staff-card"))
	send := func(query string, header ...string) *reply {
		target := p.issuer + "/credential"
		for n := range header {
			if header[n] == "PROOF" {
				header[n] = p.proof(http.MethodPost, target, p.token.AccessToken)
			}
		}
		return w.do(w.request(http.MethodPost, target+query, oid4vc.MediaTypeJSON, good, header...))
	}
	send("?access_token="+p.token.AccessToken).refused(http.StatusUnauthorized, oid4vc.CodeInvalidToken)
	send("", "Authorization", "DPoP "+p.token.AccessToken, "Authorization", "DPoP "+p.token.AccessToken, "DPoP", "PROOF").refused(http.StatusBadRequest, oid4vc.CodeInvalidRequest)
	send("", "Authorization", "DPoP", "DPoP", "PROOF").refused(http.StatusBadRequest, oid4vc.CodeInvalidRequest)
	send("", "Authorization", "Basic "+p.token.AccessToken, "DPoP", "PROOF").refused(http.StatusUnauthorized, oid4vc.CodeInvalidToken)
	send("", "Authorization", "dpop "+p.token.AccessToken, "DPoP", "PROOF").want(http.StatusOK)
}

// TestVCIPreflight asks as a browser does before a wallet in it may send what it needs to.
func TestVCIPreflight(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	o := w.Orgs["employer-A"]
	for _, e := range []string{"/par", "/token", "/nonce", "/challenge", "/credential", "/deferred", "/notification"} {
		r := w.do(w.request(http.MethodOptions, o.Issuer+e, "", nil, "Origin", "https://wallet.example", "Access-Control-Request-Method", http.MethodPost,
			"Access-Control-Request-Headers", "authorization,content-type,dpop,oauth-client-attestation,oauth-client-attestation-pop")).want(http.StatusNoContent)
		allowed := strings.ToLower(r.header.Get("Access-Control-Allow-Headers"))
		for _, name := range []string{"authorization", "content-type", "dpop", "oauth-client-attestation", "oauth-client-attestation-pop"} {
			if !strings.Contains(allowed, name) {
				t.Errorf("%s: %s is not allowed", e, name)
			}
		}
		if r.header.Get("Access-Control-Allow-Origin") != "*" || r.header.Get("Access-Control-Allow-Credentials") != "" || !strings.Contains(r.header.Get("Access-Control-Allow-Methods"), http.MethodPost) {
			t.Errorf("%s: %v", e, r.header)
		}
	}
}
