// Package akashi_test keeps the layers of the tree: imports go down only, and none go sideways.
package akashi_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// layers lists the packages from the bottom up; a folder stands for all packages in it. Packages of one line may not import each
// other, but for those below a folder that is named with them.
var layers = [][]string{
	{"internal/browsertest"}, // a browser for tests of pages
	{"attestation", "schemas"},
	{"testdata"}, // the story's files, for tests and the demonstration
	{"internal/keys", "internal/i18n"},
	{"internal/sdjwt", "internal/dcql", "internal/statuslist", "internal/did"},
	{"internal/oid4vc", "internal/web", "internal/store"},
	{"registry"},
	{"compliance"},
	{"internal/evidence"},
	{"issuer", "wallet", "verifier", "watch", "internal/logserver", "internal/witness", "internal/auditor"},
	{"cmd/akashi"},
}

// layerOf returns the level and the name of a package's place in the tree.
func layerOf(path string) (level int, place string) {
	for level, places := range layers {
		for _, p := range places {
			if path == p || strings.HasPrefix(path, p+"/") {
				return level, p
			}
		}
	}
	return -1, ""
}

func TestImportsGoDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...", "./testdata/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		path, ours := strings.CutPrefix(p.ImportPath, "akashi/")
		if !ours {
			continue
		}
		seen++
		level, place := layerOf(path)
		if level < 0 {
			t.Errorf("%s has no layer: give it one in layers_test.go, or put it where it belongs", path)
			continue
		}
		for _, imp := range p.Imports {
			dep, ours := strings.CutPrefix(imp, "akashi/")
			if !ours {
				continue
			}
			if l, other := layerOf(dep); l > level || l == level && other != place {
				t.Errorf("%s imports %s, which stands beside or above it", path, dep)
			}
		}
	}
	if seen < 15 {
		t.Errorf("only %d packages were looked at", seen)
	}
}

// TestOnlyKeysImportsJWX keeps the unmaintained library in the one package that may use it.
func TestOnlyKeysImportsJWX(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if p.ImportPath == "akashi/internal/keys" {
			continue
		}
		for _, imp := range append(append(p.Imports, p.TestImports...), p.XTestImports...) {
			if strings.HasPrefix(imp, "github.com/lestrrat-go/jwx") {
				t.Errorf("%s imports %s", p.ImportPath, imp)
			}
		}
	}
}
