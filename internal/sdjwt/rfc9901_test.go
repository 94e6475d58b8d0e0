package sdjwt

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"akashi/internal/keys"
)

// specification is one input of the examples in RFC 9901 (oauth-wg/oauth-selective-disclosure-jwt, examples/*/specification.yml): claims with the tag
// !sd on what is hidden, and what the holder discloses.
type specification struct {
	UserClaims  yaml.Node      `yaml:"user_claims"`
	Disclosed   any            `yaml:"holder_disclosed_claims"`
	KeyBinding  bool           `yaml:"key_binding"`
	AddDecoys   bool           `yaml:"add_decoy_claims"`
	ExtraHeader map[string]any `yaml:"extra_header_parameters"`
}

type settings struct {
	Identifiers struct {
		Issuer   string `yaml:"issuer"`
		Verifier string `yaml:"verifier"`
	} `yaml:"identifiers"`
	KeySettings struct {
		IssuerKeys []map[string]string `yaml:"issuer_keys"`
		HolderKey  map[string]string   `yaml:"holder_key"`
	} `yaml:"key_settings"`
	Nonce string `yaml:"key_binding_nonce"`
	Iat   int64  `yaml:"iat"`
	Exp   int64  `yaml:"exp"`
}

// TestRFC9901Specifications issues each example, presents what it says, verifies, and compares with the claims computed from the YAML alone.
func TestRFC9901Specifications(t *testing.T) {
	dir := os.Getenv("AKASHI_VECTORS")
	if dir == "" {
		t.Skip("AKASHI_VECTORS is not set: the examples of RFC 9901 are not tested")
	}
	files, err := filepath.Glob(filepath.Join(dir, "sd-jwt-rfc9901-examples", "*.yml"))
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d examples, %v", len(files), err)
	}
	var common settings
	readYAML(t, filepath.Join(dir, "sd-jwt-rfc9901-examples", "settings.yml"), &common)
	b := bench{t, privateKey(t, common.KeySettings.IssuerKeys[0]), privateKey(t, common.KeySettings.HolderKey)}
	for _, file := range files {
		if filepath.Base(file) == "settings.yml" {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yml"), func(t *testing.T) {
			var spec specification
			readYAML(t, file, &spec)
			b := b
			b.t = t
			runSpecification(t, b, spec, common)
		})
	}
}

func runSpecification(t *testing.T, b bench, spec specification, common settings) {
	payload := marked(t, &spec.UserClaims).(map[string]any)
	want, _ := presented(t, &spec.UserClaims, spec.Disclosed).(map[string]any)
	fixed := map[string]any{"iss": common.Identifiers.Issuer, "iat": common.Iat, "exp": common.Exp}
	if spec.KeyBinding {
		fixed["cnf"] = map[string]any{"jwk": b.holder.Public().JWK()}
	}
	for name, v := range fixed {
		if _, ok := payload[name]; !ok {
			payload[name], want[name] = v, v
		}
	}
	expectation := Expect{Algs: []keys.Alg{keys.ES256}, Plain: spec.ExtraHeader["typ"] != Typ, Now: now}
	decoys := 0
	if spec.AddDecoys {
		decoys = 3
	}
	compact, err := Issue(b.issuer, keys.Header(spec.ExtraHeader), payload, Options{Plain: expectation.Plain, Decoys: decoys})
	if err != nil {
		t.Fatal(err)
	}
	presentation, err := Present(compact, func(path []any) bool { return discloses(spec.Disclosed, path) })
	if err != nil {
		t.Fatal(err)
	}
	if spec.KeyBinding {
		if presentation, err = BindKey(presentation, b.holder, common.Identifiers.Verifier, common.Nonce, now); err != nil {
			t.Fatal(err)
		}
		expectation.KeyBinding = &ExpectKeyBinding{Audience: common.Identifiers.Verifier, Nonce: common.Nonce, Now: now}
	}
	got, err := b.verify(presentation, expectation)
	if err != nil {
		t.Fatal(err)
	}
	if w := normal(t, want); !reflect.DeepEqual(any(got.Claims), w) {
		text, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		t.Errorf("got  %s\nwant %s", got.ClaimsJSON(), text)
	}
}

func readYAML(t *testing.T, file string, v any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func privateKey(t *testing.T, members map[string]string) *keys.Private {
	t.Helper()
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.ParsePrivate(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func normal(t *testing.T, v any) (out any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.DecodeJSON(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

const tagSD = "!sd"

// marked turns !sd into Hidden.
func marked(t *testing.T, n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		object := make(map[string]any)
		for i := 0; i < len(n.Content); i += 2 {
			v := marked(t, n.Content[i+1])
			if n.Content[i].Tag == tagSD {
				v = Hidden(v)
			}
			object[n.Content[i].Value] = v
		}
		return object
	case yaml.SequenceNode:
		array := make([]any, 0)
		for _, element := range n.Content {
			v := marked(t, element)
			if element.Tag == tagSD {
				v = Hidden(v)
			}
			array = append(array, v)
		}
		return array
	}
	return scalar(t, n)
}

func scalar(t *testing.T, n *yaml.Node) (v any) {
	plain := *n
	if plain.Tag == tagSD {
		plain.Tag = ""
	}
	if err := plain.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// presented computes what a verifier must see, without looking at any SD-JWT.
func presented(t *testing.T, n *yaml.Node, disclosed any) any {
	switch n.Kind {
	case yaml.MappingNode:
		object := make(map[string]any)
		for i := 0; i < len(n.Content); i += 2 {
			inner := below(disclosed, n.Content[i].Value)
			if n.Content[i].Tag != tagSD || truthy(inner) {
				object[n.Content[i].Value] = presented(t, n.Content[i+1], inner)
			}
		}
		return object
	case yaml.SequenceNode:
		array := make([]any, 0)
		for i, element := range n.Content {
			inner := below(disclosed, i)
			if element.Tag != tagSD || truthy(inner) {
				array = append(array, presented(t, element, inner))
			}
		}
		return array
	}
	return scalar(t, n)
}

// below is what is said about a member or an element: true about a claim says nothing about what is inside it.
func below(disclosed, step any) any {
	switch d := disclosed.(type) {
	case map[string]any:
		if name, ok := step.(string); ok {
			return d[name]
		}
	case []any:
		if i, ok := step.(int); ok && i < len(d) {
			return d[i]
		}
	}
	return nil
}

func truthy(v any) bool { return v != nil && v != false }

func discloses(disclosed any, path []any) bool {
	for _, step := range path {
		disclosed = below(disclosed, step)
	}
	return truthy(disclosed)
}
