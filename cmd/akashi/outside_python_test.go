package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"akashi/internal/keys"
	"akashi/issuer"
	"akashi/wallet"
)

// polaris runs the verifier polaris-oid4vp, which is certified for OpenID4VP 1.0 with HAIP. It is a Python package, installed with pip in the folder python
// below AKASHI_OUTSIDE.
type polaris struct {
	w     *outsideWorld
	dir   string
	lines <-chan string // what it says
}

func newPolaris(t *testing.T) *polaris {
	t.Helper()
	if testing.Short() {
		t.Skip("a short test tries no implementation by others")
	}
	modules := filepath.Join(os.Getenv("AKASHI_OUTSIDE"), "python")
	if _, err := os.Stat(modules); os.Getenv("AKASHI_OUTSIDE") == "" || err != nil {
		t.Skip("there is no folder python in AKASHI_OUTSIDE: polaris-oid4vp is not tried (pip install --target FOLDER/python polaris-oid4vp)")
	}
	t.Setenv("PYTHONPATH", modules)
	t.Setenv("PYTHONUNBUFFERED", "1")
	provider, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return &polaris{w: startOutsideWorld(t, outsideConfig(t), provider, &outsider{t: t})}
}

func (p *polaris) command(args ...string) *exec.Cmd {
	return exec.CommandContext(p.w.t.Context(), "python3", append([]string{"-m", "polaris_oid4vp.cli"}, args...)...)
}

// start makes its keys, gives it a server certificate that our wallet takes, and returns the link of its request. It trusts issuers under anchor.
func (p *polaris) start(vct, anchor string, more ...string) string {
	p.w.t.Helper()
	port, err := freePorts(1)
	p.w.check(err)
	p.dir = p.w.t.TempDir()
	if out, err := p.command("keygen", "--out", p.dir, "--host", "localhost").CombinedOutput(); err != nil {
		p.w.t.Fatalf("%v: %s", err, out)
	}
	for to, from := range map[string]string{"tls.pem": fileTLS, "tls-key.pem": fileTLSKey} {
		p.w.check(os.WriteFile(filepath.Join(p.dir, to), []byte(p.w.read(from)), 0o600))
	}
	cmd := p.command(append([]string{"serve", "--once", "--pki", p.dir, "--host", "localhost", "--bind", "127.0.0.1", "--port", strconv.Itoa(port),
		"--issuer-trust-anchor", p.w.in.cfg.path(anchor), "--vct", vct}, more...)...)
	cmd.Stderr = p.w.t.Output()
	stdout, err := cmd.StdoutPipe()
	p.w.check(err)
	p.w.check(cmd.Start())
	lines := make(chan string, 100)
	p.lines = lines
	go func() {
		for s := bufio.NewScanner(stdout); s.Scan(); {
			lines <- s.Text()
		}
		close(lines)
	}()
	p.w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return strings.TrimSpace(p.until("openid4vp://"))
}

// until waits for a line that has a word in it.
func (p *polaris) until(word string) string {
	p.w.t.Helper()
	for patience := time.After(2 * time.Minute); ; {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.w.t.Fatalf("it ended before it said %q", word)
			}
			if strings.Contains(line, word) {
				return line
			}
		case <-patience:
			p.w.t.Fatalf("it never said %q", word)
		}
	}
}

// TestPolarisVerifies: a certified verifier takes what our issuer has issued and our wallet presents, and refuses it from an issuer that it does not trust.
func TestPolarisVerifies(t *testing.T) {
	p := newPolaris(t)
	wa := p.w.ourWallet()
	offer, err := wa.OpenOffer(t.Context(), p.w.offer(issuer.OfferRequest{Type: "staff-card", Example: true}))
	p.w.check(err)
	got, err := wa.Collect(t.Context(), offer, wallet.CollectOptions{Batch: 3})
	p.w.check(err)
	transaction := filepath.Join(t.TempDir(), "transaction.json")
	p.w.check(os.WriteFile(transaction, []byte(`[{"type":"`+wallet.TransactionPurpose+`","credential_ids":["pid"],"purpose":"test"}]`), 0o600))
	for _, c := range []struct {
		name, anchor string
		more         []string
		verdict      string
	}{
		{"taken", fileIssuerCA, nil, "<- 200 authentic"},
		{"transaction_data", fileIssuerCA, []string{"--transaction-data", transaction}, "<- 200 authentic"},
		{"another authority", fileCA, nil, "<- 400 "},
	} {
		p.w.run(c.name, func(t *testing.T) {
			link := p.start(got.Credentials[0].VCT, c.anchor, append(c.more, "--claim", "number")...)
			asking, err := wa.OpenRequest(t.Context(), link)
			p.w.check(err)
			answer, err := wa.Answer(t.Context(), asking, wallet.AnswerOptions{TrustAny: true})
			p.w.check(err)
			_, next, err := wa.Send(t.Context(), asking, answer)
			if verdict := p.until("<- "); !strings.Contains(verdict, c.verdict) || (err == nil) != strings.Contains(verdict, " 200 ") || err == nil && next == "" {
				t.Errorf("got %q, and the wallet %q, %v", verdict, next, err)
			}
		})
	}
}
