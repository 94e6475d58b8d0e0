package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestOperationsGuide does what docs/operations.md says, as it stands there: a registry, four witnesses and three auditors as processes
// of their own, one of each stopped, a proof, a backup and a restore. Only the ports are others.
func TestOperationsGuide(t *testing.T) {
	if testing.Short() {
		t.Skip("starts eight processes")
	}
	guide, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	story, err := filepath.Abs("../../testdata/story")
	if err != nil {
		t.Fatal(err)
	}
	first, err := freePorts(30)
	if err != nil {
		t.Fatal(err)
	}
	ports := fmt.Sprint(first / 10)
	script := strings.NewReplacer("8440", ports+"0", "845$i", fmt.Sprint(atoi(t, ports)+1)+"$i", "846$i", fmt.Sprint(atoi(t, ports)+2)+"$i").Replace(shellBlocks(string(guide)))
	dir := t.TempDir()
	t.Cleanup(func() { stopAll(t, dir) })
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-e")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(script)
	cmd.Env = append(os.Environ(), "STORY="+story)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	if err != nil && !strings.Contains(err.Error(), "WaitDelay") { // the services go on
		logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
		for _, l := range logs {
			text, _ := os.ReadFile(l)
			t.Logf("%s:\n%s", filepath.Base(l), text)
		}
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		"row 2 logged: engagement", "row 2 logged: wage-employer 2025-11", "new: wage-payment 2025-11", "evidence: pass", "from 0 to",
		"restored; next:", "row 2 logged: wage-employer 2025-12", "new: wage-payment 2025-12",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in what the commands said:\n%s", want, out.String())
		}
	}
}

// shellBlocks returns the fenced blocks of a document that are marked sh, one after the other.
func shellBlocks(text string) string {
	var out strings.Builder
	for {
		_, rest, ok := strings.Cut(text, "```sh\n")
		if !ok {
			return out.String()
		}
		block, after, _ := strings.Cut(rest, "```")
		out.WriteString(block)
		text = after
	}
}

// freePorts returns the first of n ports, at most 40, that nothing listens on: a multiple of ten, below those that init chooses from, and no
// two calls of this process give the same ones.
func freePorts(n int) (int, error) {
	for range 240 {
		if first := 10000 + 40*int((portsTaken.Add(1)+uint32(os.Getpid()))%240); portsFree(first, n) {
			return first, nil
		}
	}
	return 0, errors.New("no free ports")
}

var portsTaken atomic.Uint32

func atoi(t *testing.T, s string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// stopAll ends the services whose process ids the guide keeps.
func stopAll(t *testing.T, dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*.pid"))
	for _, f := range files {
		id, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if p, err := os.FindProcess(atoi(t, string(id))); err == nil {
			_ = p.Signal(os.Interrupt)
		}
	}
	// Until their stores are closed, so that the folder can be removed.
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		left, _ := filepath.Glob(filepath.Join(dir, "*", "*", "LOCK"))
		more, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*", "LOCK"))
		if len(left)+len(more) == 0 {
			return
		}
	}
}
