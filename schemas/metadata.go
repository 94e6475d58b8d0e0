package schemas

import (
	"slices"
	"sync"
)

// Selective disclosure of a claim, as in SD-JWT VC Type Metadata.
const (
	SDNever   = "never"   // always visible
	SDAlways  = "always"  // always selectively disclosable
	SDAllowed = "allowed" // either
)

// Claim is the metadata of one claim.
type Claim struct {
	Path      []string       `json:"path"`
	Mandatory bool           `json:"mandatory"`
	SD        string         `json:"sd"`
	Display   []ClaimDisplay `json:"display"`
}

// ClaimDisplay names a claim in one language.
type ClaimDisplay struct {
	Locale string `json:"locale"`
	Label  string `json:"label"`
}

// Metadata is SD-JWT VC Type Metadata.
type Metadata struct {
	VCT         string        `json:"vct"`
	Name        string        `json:"name"`
	Description string        `json:"description"`
	Display     []TypeDisplay `json:"display"`
	Claims      []Claim       `json:"claims"`
}

// TypeDisplay names a type in one language.
type TypeDisplay struct {
	Locale      string `json:"locale"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

// TypeMetadata returns the SD-JWT VC Type Metadata document of vct.
func TypeMetadata(vct string) ([]byte, bool) { return file("metadata/"+typeOf(vct)+".json", vct) }

// ReadMetadata returns the same, decoded. The caller must not change it.
func ReadMetadata(vct string) (Metadata, bool) {
	m, ok := metadata()[typeOf(vct)]
	return m, ok
}

var metadata = sync.OnceValue(func() map[string]Metadata {
	entries, err := files.ReadDir("metadata")
	if err != nil {
		panic(err)
	}
	out := make(map[string]Metadata, len(entries))
	for _, e := range entries {
		var m Metadata
		mustLoad("metadata/"+e.Name(), &m)
		out[typeOf(m.VCT)] = m
	}
	return out
})

// SDOf returns the rule for the claim at path, and false where the metadata has none. Two rows cannot be listed in the document, whose
// paths name every member: the secret s below each period of slots is always disclosable, and so is a deduction of any code.
func SDOf(vct string, path ...string) (sd string, ok bool) {
	m, known := ReadMetadata(vct)
	if !known {
		return "", false
	}
	for _, c := range m.Claims {
		if slices.Equal(c.Path, path) {
			return c.SD, true
		}
	}
	switch t := typeOf(vct); {
	case t == "engagement" && len(path) == 4 && path[0] == "slots" && path[3] == "s":
		return SDAlways, true
	case t == "wage-payment" && len(path) == 2 && path[0] == "deductions":
		return SDAlways, true
	}
	return "", false
}
