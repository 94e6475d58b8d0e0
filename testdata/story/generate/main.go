// Command generate writes the files of package story, or with -check compares them with what it would write. Run it in the root of the
// module:
//
//	go run ./testdata/story/generate
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"akashi/testdata/story/storygen"
)

func main() {
	check := flag.Bool("check", false, "compare only; exit 1 when a file differs")
	dir := flag.String("dir", filepath.Join("testdata", "story"), "folder of package story")
	flag.Parse()
	if err := run(*dir, *check); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(dir string, check bool) error {
	files, err := storygen.Files()
	if err != nil {
		return err
	}
	if err := refuseOthers(dir, files); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		old, err := os.ReadFile(path)
		if err == nil && bytes.Equal(old, files[name]) {
			continue
		}
		if check {
			return fmt.Errorf("%s differs from the facts: run without -check and read the difference", name)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// refuseOthers reports a data file that the facts do not give.
func refuseOthers(dir string, files map[string][]byte) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) == ".go" {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if _, ok := files[filepath.ToSlash(name)]; !ok {
			return fmt.Errorf("%s is not a file of the story: remove it", name)
		}
		return nil
	})
}
