// Package schemas holds the project's data, embedded: JSON Schemas (draft 2020-12) of the claims of each credential type, their
// SD-JWT VC Type Metadata, one example of each, the register of obligations, the national holidays, and the words used on pages.
//
// Everything here can be corrected in the JSON files without touching code. The package knows no other package of the project, so it
// names credential types by their vct, and dates by year, month and day or as YYYY-MM-DD.
package schemas

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed types/*.json metadata/*.json examples/*.json obligations/*.json calendar/*.json words.json
var files embed.FS

// typeOf returns the name in urn:akashi:<name>:1, or "" when there is no such type.
func typeOf(vct string) string {
	name, ok := strings.CutPrefix(vct, "urn:akashi:")
	if !ok {
		return ""
	}
	name, ok = strings.CutSuffix(name, ":1")
	if _, err := fs.Stat(files, "types/"+name+".schema.json"); !ok || err != nil || name == "common" || strings.ContainsAny(name, "/.") {
		return ""
	}
	return name
}

// Schema returns the JSON Schema of the processed claims of vct. It refers to [CommonSchema].
func Schema(vct string) ([]byte, bool) { return file("types/"+typeOf(vct)+".schema.json", vct) }

// CommonSchema returns the definitions that the schemas of all types refer to.
func CommonSchema() []byte { return mustRead("types/common.schema.json") }

// Example returns one valid set of claims of vct with every disclosable claim open, without the claims that an issuer adds to every
// credential (iss, iat, vct, cnf, status). The parties are invented; the secrets of an engagement's slots are published here, so an
// issuer draws new ones. It returns nil for an unknown vct.
func Example(vct string) []byte {
	b, _ := file("examples/"+typeOf(vct)+".json", vct)
	return b
}

func file(name, vct string) ([]byte, bool) {
	if typeOf(vct) == "" {
		return nil, false
	}
	return mustRead(name), true
}

// mustRead reads an embedded file, which the tests read too.
func mustRead(name string) []byte {
	b, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return b
}

// mustLoad reads the embedded file name into v. Members that v does not know are refused: a misspelt column must not be lost.
func mustLoad(name string, v any) {
	if err := strict(mustRead(name), v); err != nil {
		panic(fmt.Sprintf("%s: %v", name, err))
	}
}

func strict(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return fmt.Errorf("something follows the value")
	}
	return nil
}
