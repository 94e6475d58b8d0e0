package verifier

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"regexp"
	"slices"
	"strings"

	qrcode "github.com/skip2/go-qrcode"
)

// crockford is Crockford's base 32: digits and letters without I, L, O and U, which are misread on paper.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// AssessmentNumber names an evidence file on paper: the first 60 bits of the SHA-256 of its octets without the seal, which names it too, in
// Crockford's base 32, as 7F3K-Q2MX-91TD. Salts and signatures in the file make it impossible to guess.
func AssessmentNumber(file []byte) string { return numberOf(sha256.Sum256(unsealed(file))) }

func numberOf(sum [sha256.Size]byte) string {
	s := crockford.EncodeToString(sum[:8])[:12]
	return s[:4] + "-" + s[4:8] + "-" + s[8:]
}

// sealMember is the member of an evidence file that says who saved it, the last one before the closing brace.
var sealMember = regexp.MustCompile(`,"seal":"[A-Za-z0-9._-]*"(\})$`)

// unsealed returns the octets of an evidence file without its seal.
func unsealed(file []byte) []byte {
	if !bytes.HasSuffix(file, []byte(`"}`)) {
		return file // the members before it end in brackets
	}
	at := bytes.LastIndex(file, []byte(`,"seal":"`))
	if at < 0 {
		return file
	}
	return slices.Concat(file[:at], sealMember.ReplaceAll(file[at:], []byte("$1")))
}

// ParseAssessmentNumber reads a number as people type it: in small letters, with O for 0 and I or L for 1, with any or no hyphens and spaces.
func ParseAssessmentNumber(typed string) (number string, ok bool) {
	s := strings.NewReplacer("-", "", " ", "", "\u3000", "", "−", "", "ー", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(strings.TrimSpace(typed)))
	if len(s) != 12 {
		return "", false
	}
	for _, r := range s {
		if !strings.ContainsRune("0123456789ABCDEFGHJKMNPQRSTVWXYZ", r) {
			return "", false
		}
	}
	return s[:4] + "-" + s[4:8] + "-" + s[8:], true
}

// pathShort is where the QR code of a printed page leads, followed by the assessment number without hyphens: the page that verifies it again.
const pathShort = "/r/"

// shortLink is the address that is printed for the assessment, short enough for a small QR code.
func shortLink(serviceURL, number string) string {
	return serviceURL + pathShort + strings.ReplaceAll(number, "-", "")
}

// qr is a QR code as the squares of an SVG path.
type qr struct {
	Size int // modules to a side, with the quiet zone of 4 around (ISO/IEC 18004, Section 9.1)
	Path string
}

// qrVersion is what a short link takes: 29 modules to a side, readable from paper and fax at 22 mm.
const qrVersion = 3

// drawQR draws a QR code of version 3, in the best error correction that fits, else of the version that the text needs.
func drawQR(text string) (qr, error) {
	code, err := qrcode.NewWithForcedVersion(text, qrVersion, qrcode.Medium)
	if err != nil {
		code, err = qrcode.NewWithForcedVersion(text, qrVersion, qrcode.Low)
	}
	if err != nil {
		code, err = qrcode.New(text, qrcode.Medium)
	}
	if err != nil {
		return qr{}, fmt.Errorf("drawing a QR code: %w", err)
	}
	modules := code.Bitmap()
	var path strings.Builder
	for y, row := range modules {
		for x := 0; x < len(row); x++ {
			run := x
			for run < len(row) && row[run] {
				run++
			}
			if run > x {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", x, y, run-x, run-x)
				x = run
			}
		}
	}
	return qr{Size: len(modules), Path: path.String()}, nil
}
