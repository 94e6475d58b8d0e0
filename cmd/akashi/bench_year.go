package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/registry"
	"akashi/testdata/story"
)

// What the file of a year holds.
const (
	yearAttestations = 60
	yearEmptySlots   = 24 // with nothing on their first rung; besides, every ladder with members ends with an empty rung
)

// benchYear measures one engagement's year, made by a registry with all witnesses and auditors: its evidence file, and the presentation from
// which a verifier makes that.
func benchYear(ctx context.Context, b *benchRun) error {
	return withYear(ctx, func(p *player) error {
		f, _, err := p.assess(ctx, yearEngagement)
		if err != nil {
			return err
		}
		if err := checkYear(f); err != nil {
			return err
		}
		trust, err := p.in.cfg.trust()
		if err != nil {
			return err
		}
		bare, err := bareChecks(f, trust)
		if err != nil {
			return err
		}
		if err := b.evidenceYear(ctx, f, trust, bare); err != nil {
			return err
		}
		return b.judgeYear(ctx, p)
	})
}

// evidenceYear measures the evidence file.
func (b *benchRun) evidenceYear(ctx context.Context, f *evidence.File, trust evidence.Trust, bare []bareCheck) error {
	data, err := f.Marshal()
	if err != nil {
		return err
	}
	sizes, err := proofSizes(f)
	if err != nil {
		return err
	}
	b.add("evidence.bytes_year", sizes.year())
	b.add("evidence.bytes_slot", sizes.slot())
	times, err := b.perOp(ctx, func() error {
		if r := evidence.VerifyBytes(data, trust, evidence.Options{}); r.Result != compliance.Pass {
			return fmt.Errorf("the evidence file does not verify: %+v", r.Checks)
		}
		return nil
	}, func() error { return runBare(bare) })
	if err != nil {
		return err
	}
	b.addBeside("evidence.verify_year", millis(times[0]), millis(times[1]))
	return nil
}

// withYear plays engagement A of the story up to June 2026, so that the wages of four months and much else are missing, and adds
// support sessions up to 60 attestations. Everything is judged three weeks after its end.
func withYear(ctx context.Context, measure func(*player) error) (err error) {
	dir, err := os.MkdirTemp("", "akashi-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p, err := newPlayer(ctx, dir)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, stopBench(ctx, p.in))
	}()
	if err := p.playYear(ctx); err != nil {
		return err
	}
	if err := p.audited(ctx); err != nil {
		return err
	}
	return measure(p)
}

const yearEngagement = "A"

// yearUnpaid is the month from which on no wage is recorded.
const yearUnpaid = attestation.Period("2026-07")

func inYear(it story.Item) bool {
	wage := it.Type == attestation.TypeWagePayment || it.Type == attestation.TypeWageReceipt
	return it.Engagement == yearEngagement && !(wage && it.Period >= yearUnpaid)
}

func (p *player) playYear(ctx context.Context) error {
	sessions := yearSessions()
	for _, it := range story.Timeline() {
		if !inYear(it) {
			continue
		}
		p.clock.set(it.At)
		due := 0
		for due < len(sessions) && sessions[due].Before(attestation.DateOf(it.At)) {
			due++
		}
		if err := p.importSessions(ctx, sessions[:due]); err != nil {
			return err
		}
		if it.Action == "assess" {
			return nil
		}
		sessions = sessions[due:]
		if err := p.step(ctx, it, nil, nil); err != nil {
			return storyError(it, err)
		}
	}
	return errors.New("the story has no end")
}

// yearSessions returns the days of the support sessions, ten days apart.
func yearSessions() []attestation.Date {
	days := make([]attestation.Date, 35)
	for i := range days {
		days[i] = attestation.NewDate(2025, time.November, 5).AddDays(10 * i)
	}
	return days
}

func (p *player) importSessions(ctx context.Context, days []attestation.Date) error {
	if len(days) == 0 {
		return nil
	}
	var sheet strings.Builder
	sheet.WriteString("reference,item,date,mode,minutes,place,language,interpreter,staff,topics\n")
	for _, d := range days {
		fmt.Fprintf(&sheet, "%s,ヘ,%s,in-person,90,Nagoya,vi,external,S-07,language\n", p.supportReference(), d)
	}
	it := story.Item{Actor: "supporter", Type: attestation.TypeSupportSession, File: "sessions.csv"}
	_, err := p.importRows(ctx, it, []byte(sheet.String()))
	return err
}

func (p *player) supportReference() string {
	for _, party := range p.parties {
		if party.Engagement == yearEngagement {
			return party.SupportReference
		}
	}
	return ""
}

// checkYear makes sure that the file is what the figure says.
func checkYear(f *evidence.File) error {
	members, empty, first := 0, 0, true
	for _, r := range f.Slots {
		p, err := registry.ParseProof(r.Proof)
		if err != nil {
			return err
		}
		switch {
		case p.Kind == registry.ProofMember:
			members++
		case first:
			empty++
		}
		first = p.Kind != registry.ProofMember // of the next ladder
	}
	if members != yearAttestations || len(f.Presentation.Attestations) != yearAttestations || empty != yearEmptySlots {
		return fmt.Errorf("the file has %d attestations in %d records and %d empty slots, not %d and %d",
			len(f.Presentation.Attestations), members, empty, yearAttestations, yearEmptySlots)
	}
	return nil
}

// proofBytes holds the mean sizes of what proves the slots of a file, the credentials themselves left out.
type proofBytes struct {
	present, absent float64 // record of a slot
	share           float64 // of all slots that are present
	note            float64 // a checkpoint that bounds a time
	head            float64 // the head, and the checkpoint that everything is proved against
}

// slot is what one slot takes in the mean.
func (p proofBytes) slot() float64 { return p.share*p.present + (1-p.share)*p.absent }

// year is what 12 present and 12 absent slots take, with two bounds of time for each present one and the head.
func (p proofBytes) year() float64 { return 12*(p.present+2*p.note) + 12*p.absent + p.head }

func proofSizes(f *evidence.File) (p proofBytes, err error) {
	size := func(v any) float64 {
		data, marshalErr := json.Marshal(v)
		err = errors.Join(err, marshalErr)
		return float64(len(data))
	}
	members := 0
	for _, r := range f.Slots {
		proof, parseErr := registry.ParseProof(r.Proof)
		if parseErr != nil {
			return p, parseErr
		}
		r.JWT, r.A = "", nil
		if proof.Kind != registry.ProofMember {
			p.absent += size(r)
			continue
		}
		p.present += size(r)
		members++
	}
	p.present /= float64(members)
	p.absent /= float64(len(f.Slots) - members)
	p.share = float64(members) / float64(len(f.Slots))
	p.note = size(f.Notes) / float64(len(f.Notes))
	p.head = size(f.Head) + size(f.Checkpoint)
	return p, err
}
