package verifier

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
)

// evidenceFile is a small case: one wage of which the bank's record was not presented, and another of which nothing is recorded.
func evidenceFile(t testing.TB) (file []byte, trust evidence.Trust) {
	t.Helper()
	w := evidencetest.New(t, evidencetest.At(2025, 10, 30, 9))
	w.Now = evidencetest.At(2025, 10, 30, 10)
	w.Engage(0, w.Claims(attestation.NewDate(2025, 11, 1), attestation.NewDate(2025, 12, 31)))
	w.Now = evidencetest.At(2025, 11, 25, 18)
	payment := w.WagePayment("2025-11", attestation.NewDate(2025, 11, 25))
	w.Log(w.Employer, attestation.WageEmployer, "2025-11", 0, payment)
	w.Log(w.Bank, attestation.WageBank, "2025-11", 0, w.WageReceipt("2025-11", attestation.NewDate(2025, 11, 25), 212000))
	w.Now = evidencetest.At(2026, 1, 15, 9)
	w.CloseEpoch()
	f, _, err := evidence.Make(context.Background(), w.Presentation(evidencetest.All, []string{payment}, nil), w, w.Trust(), evidence.MakeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return evidencetest.Marshal(w, f), w.Trust()
}

func TestWritePage(t *testing.T) {
	file, trust := evidenceFile(t)
	sum := sha256.Sum256(file)
	for _, c := range []struct {
		name            string
		options         PageOptions
		wants, wantsNot []string
	}{
		{"to read", PageOptions{},
			[]string{`<html lang="ja">`, AssessmentNumber(file), hex.EncodeToString(sum[:]), "期限内の履行を確認できない義務は1件。", `id="d-W-05-2025-11"`, "開示された期間から取得", `aria-label="再検証用QRコード"`},
			[]string{"疎明資料", "作成日"}},
		{"in English", PageOptions{Lang: "en"}, []string{`<html lang="en">`, "1 obligation is not shown as met on time", "期限内の履行を確認できない義務は1件。"}, []string{"疎明資料"}},
		{"to submit", PageOptions{Submission: true, FileName: "case.evidence.json", Made: evidencetest.At(2026, 11, 25, 0), Service: "https://verify.example.jp"},
			[]string{"疎明資料", "2026-11-25（令和8年11月25日）", "case.evidence.json", hex.EncodeToString(sum[:]), "2026-01-15 09:00 JST", "令和8年1月15日", "令和7年11月 – 令和7年12月", AssessmentNumber(file)},
			[]string{`class="drawer"`, "<details", "~ey"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			result, err := WritePage(&b, file, trust, c.options)
			if err != nil || result.Result != compliance.Pass {
				t.Fatalf("%v, %v", result, err)
			}
			for _, want := range c.wants {
				if !strings.Contains(b.String(), want) {
					t.Errorf("the page does not hold %q", want)
				}
			}
			for _, not := range c.wantsNot {
				if strings.Contains(b.String(), not) {
					t.Errorf("the page holds %q", not)
				}
			}
			checkAlone(t, b.String())
		})
	}
}

// checkAlone checks that a page needs nothing besides itself, and that its own policy lets it have its style.
func checkAlone(t *testing.T, page string) {
	t.Helper()
	if found := regexp.MustCompile(`(?i)(src|href)="[^#"][^"]*"|url\(|@import|<script`).FindString(page); found != "" {
		t.Errorf("the page refers to something else: %s", found)
	}
	_, rest, _ := strings.Cut(page, "<style>")
	style, _, ok := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	if !ok || !strings.Contains(strings.ReplaceAll(page, "&#43;", "+"), "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
		t.Error("the page's policy does not name its style")
	}
}

// TestWritePageOfWhatDoesNotHold: a file that was changed, or that cannot be decided, gives a page without counts that says so.
func TestWritePageOfWhatDoesNotHold(t *testing.T) {
	file, trust := evidenceFile(t)
	unaudited := trust
	unaudited.Auditors = nil
	for _, c := range []struct {
		name   string
		file   []byte
		trust  evidence.Trust
		result compliance.Result
		matrix bool
	}{
		{"changed", bytes.Replace(file, []byte(`"from":"2025-11"`), []byte(`"from":"2025-12"`), 1), trust, compliance.Fail, false},
		{"not a file", []byte(`{"format":"akashi-evidence/1"}`), trust, compliance.Fail, false},
		{"nothing", nil, trust, compliance.Fail, false},
		{"without auditors", file, unaudited, compliance.CannotTell, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			result, err := WritePage(&b, c.file, c.trust, PageOptions{Submission: true})
			if err != nil || result.Result != c.result {
				t.Fatalf("%v, %v", result, err)
			}
			page := b.String()
			if !strings.Contains(page, `id="answer">検証不能`) || strings.Contains(page, `class="attr"`) || strings.Contains(page, "確認できない義務は") {
				t.Error("the page gives an answer")
			}
			if got := strings.Contains(page, `<table class="mx"`); got != c.matrix {
				t.Errorf("it shows the duties: %t, want %t", got, c.matrix)
			}
		})
	}
}

var errFull = errors.New("the disk is full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWritePageErrors(t *testing.T) {
	file, trust := evidenceFile(t)
	if _, err := WritePage(full{}, file, trust, PageOptions{}); !errors.Is(err, errFull) {
		t.Errorf("a full disk: %v", err)
	}
	if _, err := WritePage(io.Discard, file, trust, PageOptions{Lang: "vi"}); err == nil || !strings.Contains(err.Error(), "[ja en]") {
		t.Errorf("a language that is not there: %v", err)
	}
	if _, err := WritePage(io.Discard, file, trust, PageOptions{Service: "https://" + strings.Repeat("x", 5000)}); err == nil {
		t.Error("a link that no code holds was printed")
	}
}

// TestPageOfATamperedFile: nothing of what a file says is shown where its signatures do not hold, whichever octet was changed.
func TestPageOfATamperedFile(t *testing.T) {
	file, trust := evidenceFile(t)
	for at := 100; at < len(file); at += len(file) / 60 {
		spoilt := slices.Clone(file)
		spoilt[at] ^= 1
		var b bytes.Buffer
		result, err := WritePage(&b, spoilt, trust, PageOptions{})
		if err != nil || result.Result == compliance.Pass || !strings.Contains(b.String(), `id="answer">検証不能`) || strings.Contains(b.String(), "確認できない義務は") {
			t.Fatalf("octet %d: %v, %v", at, result.Result, err)
		}
	}
}
