package oid4vc

import (
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func validOffer() *CredentialOffer {
	return &CredentialOffer{CredentialIssuer: issuerID, ConfigurationIDs: []string{"a", "b"}, Grants: &OfferGrants{
		AuthorizationCode: &OfferAuthorizationCode{IssuerState: "s", AuthorizationServer: issuerID},
		PreAuthorizedCode: &OfferPreAuthorizedCode{Code: "c", TxCode: &TxCode{InputMode: "text", Length: 6, Description: "口頭で伝えた番号 + a & b"}},
	}}
}

func TestOfferLinks(t *testing.T) {
	for _, base := range []string{SchemeOffer, SchemeOfferHAIP, "https://wallet.example/offer", "https://wallet.example/offer?x=1"} {
		link, err := validOffer().Link(base)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(link, "+ ") || !strings.HasPrefix(link, base) {
			t.Errorf("got %s", link)
		}
		got, err := ParseOfferLink(link)
		if err != nil || !reflect.DeepEqual(got.Offer, validOffer()) || got.URI != "" {
			t.Errorf("%s: got %+v, %v", base, got, err)
		}
		link, err = OfferReference(base, "https://issuer.example/offers/1?a=b&c=d")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseOfferLink(link); err != nil || got.URI != "https://issuer.example/offers/1?a=b&c=d" || got.Offer != nil {
			t.Errorf("%s: got %+v, %v", base, got, err)
		}
	}
	if _, err := (&CredentialOffer{}).Link(SchemeOffer); !errors.Is(err, ErrOffer) {
		t.Errorf("invalid offer: got %v", err)
	}
	if _, err := OfferReference(SchemeOffer, "http://a.example"); !errors.Is(err, ErrOffer) {
		t.Errorf("http: got %v", err)
	}
	if _, err := OfferReference("wallet.example", "https://a.example"); !errors.Is(err, ErrOffer) {
		t.Errorf("no scheme: got %v", err)
	}
}

func TestParseOfferLinkRefuses(t *testing.T) {
	good := "credential_offer=" + url.QueryEscape(string(jsonOf(t, validOffer())))
	reference := "credential_offer_uri=" + url.QueryEscape("https://issuer.example/1")
	for name, link := range map[string]string{
		"scheme":            "javascript://?" + good,
		"http":              "http://wallet.example?" + good,
		"other scheme":      "openid4vp://?" + good,
		"neither":           SchemeOffer + "?x=1",
		"both":              SchemeOffer + "?" + good + "&" + reference,
		"twice":             SchemeOffer + "?" + good + "&" + good,
		"reference twice":   SchemeOffer + "?" + reference + "&" + reference,
		"malformed query":   SchemeOffer + "?credential_offer=%zz",
		"malformed":         "openid-credential-offer:// ?" + good + "\x7f",
		"reference http":    SchemeOffer + "?credential_offer_uri=http%3A%2F%2Fa.example",
		"reference file":    SchemeOffer + "?credential_offer_uri=file%3A%2F%2F%2Fetc%2Fpasswd",
		"reference empty":   SchemeOffer + "?credential_offer_uri=",
		"offer not JSON":    SchemeOffer + "?credential_offer=x",
		"too long":          SchemeOffer + "?" + good + "&x=" + strings.Repeat("x", maxOfferLink),
		"offer by raw JSON": string(jsonOf(t, validOffer())),
	} {
		if _, err := ParseOfferLink(link); !errors.Is(err, ErrOffer) {
			t.Errorf("%s: got %v, want %v", name, err, ErrOffer)
		}
	}
}

func TestParseOffer(t *testing.T) {
	text := jsonOf(t, validOffer())
	if o, err := ParseOffer(text); err != nil || !reflect.DeepEqual(o, validOffer()) {
		t.Fatalf("got %+v, %v", o, err)
	}
	grant := func(m object, name string) object { return m["grants"].(object)[name].(object) }
	pre := func(m object) object { return grant(m, GrantPreAuthorizedCode) }
	rows := []struct {
		name  string
		spoil func(m object)
	}{
		{"issuer missing", func(m object) { delete(m, "credential_issuer") }},
		{"issuer http", func(m object) { m["credential_issuer"] = "http://a.example" }},
		{"issuer with query", func(m object) { m["credential_issuer"] = "https://a.example?x" }},
		{"ids missing", func(m object) { delete(m, "credential_configuration_ids") }},
		{"ids empty", func(m object) { m["credential_configuration_ids"] = []any{} }},
		{"ids twice", func(m object) { m["credential_configuration_ids"] = []any{"a", "a"} }},
		{"ids empty string", func(m object) { m["credential_configuration_ids"] = []any{""} }},
		{"ids numbers", func(m object) { m["credential_configuration_ids"] = []any{1} }},
		{"ids many", func(m object) {
			m["credential_configuration_ids"] = strings.Split(strings.Repeat("x,", maxOfferIDs)+"y", ",")
		}},
		{"authorization_server", func(m object) { grant(m, GrantAuthorizationCode)["authorization_server"] = "x" }},
		{"issuer_state long", func(m object) { grant(m, GrantAuthorizationCode)["issuer_state"] = strings.Repeat("x", maxOpaque+1) }},
		{"code missing", func(m object) { delete(pre(m), "pre-authorized_code") }},
		{"code empty", func(m object) { pre(m)["pre-authorized_code"] = "" }},
		{"code number", func(m object) { pre(m)["pre-authorized_code"] = 1 }},
		{"pre-authorized server", func(m object) { pre(m)["authorization_server"] = "x" }},
		{"input_mode", func(m object) { pre(m)["tx_code"].(object)["input_mode"] = "voice" }},
		{"length zero", func(m object) { pre(m)["tx_code"].(object)["length"] = 0 }},
		{"length negative", func(m object) { pre(m)["tx_code"].(object)["length"] = -1 }},
		{"length large", func(m object) { pre(m)["tx_code"].(object)["length"] = 1000 }},
		{"description long", func(m object) { pre(m)["tx_code"].(object)["description"] = strings.Repeat("あ", 301) }},
		{"tx_code text", func(m object) { pre(m)["tx_code"] = "1234" }},
		{"too long", func(m object) { m["x"] = strings.Repeat("x", maxOfferLink) }},
	}
	for _, row := range rows {
		if _, err := ParseOffer(spoilt(t, text, row.spoil)); !errors.Is(err, ErrOffer) {
			t.Errorf("%s: got %v, want %v", row.name, err, ErrOffer)
		}
	}
	for _, good := range []func(m object){
		func(m object) { m["unknown"] = 1 },
		func(m object) { delete(m, "grants") },
		func(m object) { m["grants"] = object{"urn:other": object{"x": 1}} },
		func(m object) { pre(m)["tx_code"].(object)["description"] = strings.Repeat("あ", 300) },
	} {
		if _, err := ParseOffer(spoilt(t, text, good)); err != nil {
			t.Error(err)
		}
	}
	empty, err := ParseOffer(spoilt(t, text, func(m object) { pre(m)["tx_code"] = object{} }))
	if err != nil || empty.Grants.PreAuthorizedCode.TxCode == nil {
		t.Errorf("an empty tx_code means that a code is needed: %v", err)
	}
}

func TestTxCodeCheck(t *testing.T) {
	for _, row := range []struct {
		tx   TxCode
		code string
		ok   bool
	}{
		{TxCode{}, "123", true}, {TxCode{}, "", false}, {TxCode{}, "12a", false}, {TxCode{Length: 4}, "1234", true}, {TxCode{Length: 4}, "123", false},
		{TxCode{InputMode: "text"}, "12a", true}, {TxCode{InputMode: "text", Length: 2}, "あい", true}, {TxCode{InputMode: "numeric"}, "１２", false},
	} {
		if err := row.tx.Check(row.code); (err == nil) != row.ok {
			t.Errorf("%+v: got %v", row, err)
		}
	}
}
