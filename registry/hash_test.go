package registry

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestTextOfHashes(t *testing.T) {
	h := HashOf([]byte("x"))
	text, err := json.Marshal(h)
	if err != nil || string(text) != `"`+h.String()+`"` || len(h.String()) != 43 {
		t.Errorf("Marshal = %s, %v", text, err)
	}
	var back Hash
	if err := json.Unmarshal(text, &back); err != nil || back != h {
		t.Errorf("Unmarshal = %v, %v; want %v", back, err, h)
	}
	var k Key
	var v Value
	if k.UnmarshalText([]byte(h.String())) != nil || v.UnmarshalText([]byte(h.String())) != nil || k.String() != h.String() || v.String() != h.String() {
		t.Error("a key or a value has another text than a hash of the same octets")
	}
	good := Hash{}.String()
	for name, bad := range map[string]string{
		"empty": "", "short": good[1:], "long": good + "A", "padded": good + "=", "a newline inside": good[:20] + "\n" + good[21:],
		"standard alphabet": good[:20] + "+" + good[21:], "bits left over": good[:42] + "B",
	} {
		for _, into := range []interface{ UnmarshalText([]byte) error }{new(Hash), new(Key), new(Value), new(Secret)} {
			if err := into.UnmarshalText([]byte(bad)); err == nil {
				t.Errorf("%T read a text that is %s", into, name)
			}
		}
	}
}

func TestSecretDoesNotShow(t *testing.T) {
	s := Secret(HashOf([]byte("secret")))
	text, _ := s.MarshalText()
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, nil))
	log.Info("m", "s", s, "p", &s)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%d", "%q"} {
		fmt.Fprintf(&out, format+" ", s)
		fmt.Fprintf(&out, format+" ", &s)
		fmt.Fprintf(&out, format+" ", struct{ S Secret }{s})
	}
	for _, shown := range []string{string(text), fmt.Sprintf("%x", s[:]), fmt.Sprintf("%X", s[:]), fmt.Sprint(s[0], s[1])} {
		if strings.Contains(out.String(), shown) {
			t.Errorf("the secret shows: %s", out.String())
		}
	}
	if back := new(Secret); back.UnmarshalText(text) != nil || *back != s {
		t.Error("the text of a secret does not give it back")
	}
}
