package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"akashi/attestation"
	"akashi/wallet"
)

// authorities reads the certificates of a PEM file; no file has none.
func authorities(path string) ([]*x509.Certificate, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// presentLink answers a verifier.
func (f *walletFlags) presentLink(ctx context.Context, s streams, w *wallet.Wallet, link string, o *presentFlags) error {
	a, err := w.OpenRequest(ctx, link)
	if err != nil {
		return f.rejected(ctx, s, w, err, o)
	}
	sayWho(s, a)
	if o.refuse {
		r, next, err := w.Refuse(ctx, a)
		return errors.Join(err, f.printReceipt(s, r, next))
	}
	switch {
	case !o.trustAny || a.Known:
	case a.Entity != "":
		s.say("WARNING: WHO ASKS IS NOT REGISTERED AS A VERIFIER. It may be posing as one, and what you show cannot be taken back.")
	default:
		s.say("WARNING: NOBODY KNOWS WHO ASKS. It may be a swindle, and what you show cannot be taken back.")
	}
	answer, err := w.Answer(ctx, a, wallet.AnswerOptions{Engagement: o.Engagement, Hide: o.Hide, TrustAny: o.trustAny})
	if err != nil {
		return f.rejected(ctx, s, w, err, o)
	}
	for _, d := range answer.Documents {
		s.say("shows: %s", inLine(d))
	}
	sayOpen(s, answer, w.Now())
	for _, t := range a.Transactions {
		s.say("you agree to this purpose: %s%s", t.Purpose, forOffice(t.Office))
	}
	if !o.yes {
		if err := confirm(s, "Show it?", "nothing was shown (--refuse tells the verifier so)"); err != nil {
			return err
		}
	}
	r, next, err := w.Send(ctx, a, answer)
	return errors.Join(err, f.printReceipt(s, r, next))
}

func forOffice(office string) string {
	if office == "" {
		return ""
	}
	return " (for " + office + ")"
}

// rejected says why nothing was shown, and tells the verifier if the person agrees: the answer also says that somebody read the request.
func (f *walletFlags) rejected(ctx context.Context, s streams, w *wallet.Wallet, err error, o *presentFlags) error {
	var rejection *wallet.Rejection
	if !errors.As(err, &rejection) {
		return err
	}
	sayWho(s, rejection.Asking)
	s.say("this request cannot be answered: %v", err)
	if !o.yes {
		if silent := confirm(s, "Tell the verifier?", "the verifier was not told"); silent != nil {
			return errors.Join(err, silent)
		}
	}
	r, next, tellErr := w.Reject(ctx, rejection)
	return errors.Join(err, tellErr, f.printReceipt(s, r, next))
}

// sayWho says who asks.
func sayWho(s streams, a *wallet.Asking) {
	switch {
	case a.Entity != "" && a.Known:
		s.say("asked by: %s (registered as %s)", inWords(a.Names), a.Entity)
	case a.Entity != "":
		s.say("asked by: %s (registered as %s, but not as a verifier)", inWords(a.Names), a.Entity)
	case a.Known:
		s.say("asked by: %s (certified by an authority that you trust)", inWords(a.Names))
	default:
		s.say("asked by: a stranger")
	}
	s.say("its name in the protocol: %q; the answer goes to %s", a.ClientID, a.Host)
}

// inLine says what of a document is shown. The periods of a stream, which are many, are written as their first and last.
func inLine(d wallet.ShownDocument) string {
	var names []string
	periods := make(map[string][]string) // by stream
	for _, claim := range d.Claims {
		stream, period, ok := slotOf(claim)
		switch {
		case !ok:
			names = append(names, claim)
		default:
			periods[stream] = append(periods[stream], period)
		}
	}
	for _, stream := range slices.Sorted(maps.Keys(periods)) {
		p := slices.Sorted(slices.Values(periods[stream]))
		names = append(names, fmt.Sprintf("slots.%s.%s", stream, p[0]))
		if n := len(p); n > 1 {
			names[len(names)-1] += fmt.Sprintf(" to %s (%d)", p[n-1], n)
		}
	}
	if names == nil {
		names = []string{"nothing that can be withheld"}
	}
	return fmt.Sprintf("%s %s: %s", d.Type, d.ID, strings.Join(names, ", "))
}

// slotOf reads the path of a period secret: slots.<stream>.<period>.s.
func slotOf(claim string) (stream, period string, ok bool) {
	parts := strings.Split(claim, ".")
	if len(parts) != 4 || parts[0] != "slots" {
		return "", "", false
	}
	return parts[1], parts[2], true
}

// sayOpen warns of periods that have not ended: whoever has their secrets finds there what is recorded later.
func sayOpen(s streams, answer *wallet.Answer, now time.Time) {
	n := 0
	for _, d := range answer.Documents {
		for _, claim := range d.Claims {
			if _, period, ok := slotOf(claim); ok && attestation.Period(period).Last().After(attestation.DateOf(now)) {
				n++
			}
		}
	}
	if n > 0 {
		s.say("note: %d of these periods have not ended; who asks will also find what is recorded there later, unless you leave them out with --hide", n)
	}
}

// printReceipt says what the verifier has seen; without a receipt nothing was sent.
func (f *walletFlags) printReceipt(s streams, r *wallet.Receipt, next string) error {
	if r == nil {
		return nil
	}
	if next != "" {
		s.say("the verifier goes on here, in the browser that you began in:\n%s", next)
	}
	if f.json {
		return s.json(r)
	}
	printReceipt(s, r)
	return nil
}

func printReceipt(s streams, r *wallet.Receipt) {
	who := inWords(r.Names)
	if who == "" {
		who = "a stranger"
	}
	fmt.Fprintf(s.out, "%s  %s  %s (%s)\n", r.At.Format(time.RFC3339), r.Outcome, who, r.Host)
	for _, d := range r.Documents {
		fmt.Fprintf(s.out, "  %s\n", inLine(d))
	}
}

func (f *walletFlags) newLog(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "log",
		Short: "List what was shown to whom by links",
		Args:  exactArgs(),
		RunE: f.with(s, func(ctx context.Context, w *wallet.Wallet, _ []string) error {
			receipts, err := w.Shown(ctx)
			if err != nil {
				return err
			}
			if f.json {
				return s.json(receipts)
			}
			for i := range receipts {
				printReceipt(s, &receipts[i])
			}
			return nil
		}),
	}
}
