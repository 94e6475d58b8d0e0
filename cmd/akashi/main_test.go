package main

import (
	"io"
	"slices"
	"strings"
	"testing"

	"akashi/internal/keys"
)

func TestIDsAsWords(t *testing.T) {
	const id, other = "-ns0PoYMjrluFjB0f19vPPZHmojgM6qT-aohLehWcAk", "--s0PoYMjrluFjB0f19vPPZHmojgM6qT-aohLehWcAk"
	if !isID(id) || !isID(other) {
		t.Fatal("these are IDs")
	}
	for name, row := range map[string]struct{ args, want string }{
		"no ID":                 {"wallet list --wallet W", "wallet list --wallet W"},
		"last":                  {"wallet erase --yes " + id, "wallet erase --yes -- " + id},
		"before flags":          {"wallet show " + id + " --wallet W", "wallet show --wallet W -- " + id},
		"two dashes":            {"wallet show " + other, "wallet show -- " + other},
		"value of a flag":       {"wallet statement --about " + id + " --yes", "wallet statement --about " + id + " --yes"},
		"value after =":         {"wallet statement --about=" + id, "wallet statement --about=" + id},
		"already behind --":     {"wallet show -- " + id, "wallet show -- " + id},
		"a flag too short":      {"wallet show -x", "wallet show -x"},
		"no octets of a SHA":    {"wallet show " + id[:42], "wallet show " + id[:42]},
		"before -- of the user": {"wallet show " + id + " -- x", "wallet show -- " + id + " x"},
	} {
		t.Run(name, func(t *testing.T) {
			got := idsAsWords(newRoot(streams{strings.NewReader(""), io.Discard, io.Discard}), strings.Fields(row.args))
			if want := strings.Fields(row.want); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	made, err := keys.ID("e30.e30.c2ln")
	if err != nil || !isID(made) {
		t.Errorf("%q is not taken for an ID: %v", made, err)
	}
}
