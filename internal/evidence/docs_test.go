package evidence_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"akashi/internal/evidence"
)

// TestCodesAreDocumented holds docs/evidence.md against the codes in the sources of every package that makes checks.
func TestCodesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/evidence.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{"codes.go", "entry.go", "../../compliance/codes.go", "../../verifier/verify.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Code") && !strings.HasPrefix(spec.Names[0].Name, "Reason") {
				return true
			}
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if code, _ := strconv.Unquote(lit.Value); !strings.Contains(string(doc), "| `"+code+"` |") {
					t.Errorf("%s: %s is not in docs/evidence.md", source, code)
				}
			}
			return true
		})
	}
	for _, c := range evidence.Codes {
		if !strings.Contains(string(doc), "| `"+c.Code+"` | "+c.Meaning+" |") {
			t.Errorf("%s has another meaning in docs/evidence.md", c.Code)
		}
	}
}
