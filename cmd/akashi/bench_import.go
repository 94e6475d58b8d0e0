package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/issuer"
	"akashi/registry"
	"akashi/testdata/story"
)

const (
	// importEpoch is how long an epoch collects. A clerk's file keeps the registry busy by itself, so nothing is gained by waiting.
	importEpoch = time.Millisecond
	// importBudget ends the rounds of a slow machine early.
	importBudget = 15 * time.Second
)

// benchImport imports payroll files of 10,000 rows, as a clerk does: from CSV to signed, sealed, stored by issuer and registry, and
// logged with a receipt, over https on loopback, with four witnesses and three auditors. Every round has an employer of its own, whose
// engagements (500 employees, for 20 months of wages each) are issued before the clock runs. The raw cost is measured before and after.
func benchImport(ctx context.Context, b *benchRun) (err error) {
	dir, err := os.MkdirTemp("", "akashi-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg, err := initInstance(initOptions{dir: dir, host: "localhost", now: time.Now()})
	if err != nil {
		return err
	}
	in, err := startInstance(ctx, cfg, instanceOptions{epoch: importEpoch})
	defer func() {
		err = errors.Join(err, stopBench(ctx, in))
	}()
	if err != nil {
		return err
	}
	var rates, raws []float64
	var spent time.Duration
	for _, employer := range importEmployers()[:b.imports] {
		took, raw, err := b.importRound(ctx, in, employer)
		if err != nil {
			return err
		}
		rates = append(rates, float64(b.employees*b.months)/took.Seconds())
		raws = append(raws, raw...)
		if spent += took; spent > importBudget {
			break
		}
	}
	b.addBeside("import.rows", median(rates), median(raws))
	return nil
}

// importEmployers returns the ids of the story's employers.
func importEmployers() []string {
	var ids []string
	for _, p := range story.Parties() {
		if p.Role == attestation.AcceptingOrganization {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

func (b *benchRun) importRound(ctx context.Context, in *instance, employer string) (took time.Duration, raw []float64, err error) {
	if err := b.hire(ctx, in, employer); err != nil {
		return 0, nil, err
	}
	req, err := b.payroll(employer)
	if err != nil {
		return 0, nil, err
	}
	if err := in.registry.WaitAudited(ctx); err != nil {
		return 0, nil, err
	}
	before, err := b.signingRate(ctx)
	if err != nil {
		return 0, nil, err
	}
	runtime.GC()
	start := time.Now()
	if err := importAll(ctx, in, req, b.employees*b.months); err != nil {
		return 0, nil, err
	}
	took = time.Since(start)
	if err := in.registry.WaitAudited(ctx); err != nil { // so that the auditors' work on this round does not slow what follows
		return 0, nil, err
	}
	after, err := b.signingRate(ctx)
	return took, []float64{before, after}, err
}

// hire adds an employer and issues an engagement to each of its employees.
func (b *benchRun) hire(ctx context.Context, in *instance, employer string) error {
	_, err := in.admin().AddOrg(ctx, orgRequest{
		Role: attestation.AcceptingOrganization, ID: employer, Name: map[string]string{"ja": "見本"}, From: attestation.DateOf(time.Now()),
	})
	if err != nil {
		return err
	}
	template, err := story.File("engagement/C.csv")
	if err != nil {
		return err
	}
	term := strings.NewReplacer("2025-11-01", b.hired().String(), "2027-10-31", b.hired().AddMonths(24).AddDays(-1).String())
	header, row, _ := strings.Cut(string(template), "\n")
	sheet := header + "\n"
	for n := range b.employees {
		contract := registry.HashOf(fmt.Appendf(nil, "%s %d", employer, n))
		jwk, proof, err := newHolder(in.cfg.Registry.Origin)
		if err != nil {
			return err
		}
		line := term.Replace(string(story.FillEngagement([]byte(row), jwk, proof)))
		sheet += strings.NewReplacer("00318", benchEmployee(n), "6990000000003", employer, contractC, contract.String()).Replace(line)
	}
	return importAll(ctx, in, importRequest{Org: employer, Type: attestation.TypeEngagement, Name: "engagements.csv", Data: []byte(sheet)}, b.employees)
}

// hired returns the first day of the contracts: so long ago that the last wage has been paid, since wages to come are refused.
func (b *benchRun) hired() attestation.Date {
	today := attestation.DateOf(time.Now())
	return attestation.NewDate(today.Year, today.Month, 1).AddMonths(-b.months - 1)
}

// contractC is the contract hash in the story's sheet of engagement C.
const contractC = "ulQiw4_bFS7a389YO6Wkffi7CVRI6oTzcy9u_2FGqlM"

func benchEmployee(n int) string { return fmt.Sprintf("%05d", n+1) }

// newHolder makes the keys of a worker and returns what the employer is given of them.
func newHolder(origin string) (jwk, deliveryProof string, err error) {
	holder, err := keys.Generate(keys.ES256)
	if err != nil {
		return "", "", err
	}
	delivery, err := keys.Generate(keys.ES256)
	if err != nil {
		return "", "", err
	}
	deliveryProof, err = registry.MakeDeliveryProof(holder, delivery.Public(), origin)
	return string(holder.Public().JWK()), deliveryProof, err
}

// payroll writes a payroll file of all employees and months after the story's file of employer C.
func (b *benchRun) payroll(employer string) (req importRequest, err error) {
	template, err := story.File("payroll/C-2025-11.csv")
	if err != nil {
		return req, err
	}
	mapping, err := story.File("payroll/C.mapping.json")
	if err != nil {
		return req, err
	}
	header, row, _ := strings.Cut(string(template), "\n")
	var file strings.Builder
	file.WriteString(header + "\n")
	for m := range b.months {
		month := b.hired().AddMonths(m)
		for n := range b.employees {
			file.WriteString(strings.NewReplacer(
				"2025年11月", fmt.Sprintf("%d年%d月", month.Year, month.Month), "2025-12-10", month.AddMonths(1).AddDays(9).String(), "00318", benchEmployee(n),
			).Replace(row))
		}
	}
	return importRequest{Org: employer, Type: attestation.TypeWagePayment, Name: "payroll.csv", Data: []byte(file.String()), Mapping: mapping}, nil
}

// importAll imports a file and demands that all rows are logged, with receipts.
func importAll(ctx context.Context, in *instance, req importRequest, rows int) error {
	resp, err := in.admin().Import(ctx, req)
	if err != nil {
		return err
	}
	for _, e := range resp.Report.Errors {
		return e
	}
	if logged := resp.Report.Count(issuer.StatusLogged); logged != rows {
		return fmt.Errorf("%d of %d rows are logged", logged, rows)
	}
	return nil
}

// signingRate returns how many bare ES256 signatures one thread makes in a second.
func (b *benchRun) signingRate(ctx context.Context) (float64, error) {
	k, err := keys.Generate(keys.ES256)
	if err != nil {
		return 0, err
	}
	key := k.Signer().(*ecdsa.PrivateKey)
	message := make([]byte, 1500)
	times, err := b.perOp(ctx, func() error {
		sum := sha256.Sum256(message)
		_, _, err := ecdsa.Sign(rand.Reader, key, sum[:])
		return err
	})
	if err != nil {
		return 0, err
	}
	return 1 / times[0].Seconds(), nil
}
