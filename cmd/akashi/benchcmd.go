package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// benchEffort says how long is measured. Tests take less of it, and learn no figures from that.
type benchEffort struct {
	rounds    int           // of which the median counts
	slice     time.Duration // for which one thing is measured in one round
	employees int           // whose wages are imported in one round
	months    int           // of wages of each
	imports   int           // rounds of an import, at most three: each has an employer of its own
	mapKeys   int           // in the map before an epoch
	largeKeys int           // in the large one
	epoch     int           // entries in an epoch of the registry
}

var fullEffort = benchEffort{rounds: 11, slice: 60 * time.Millisecond, employees: 500, months: 20, imports: 3, mapKeys: 1_000_000, largeKeys: 10_000_000, epoch: 5000}

// benchFigure is a figure that can be asked for. Names and units do not change: others read them.
type benchFigure struct{ name, unit, what string }

// benchFigures stand in the order in which they are printed.
var benchFigures = []benchFigure{
	{"sdjwt.issue", "us/op", "12 claims, 8 of them disclosures; raw: one ES256 signature"},
	{"sdjwt.verify_kb", "us", "the same with key binding; raw: two ES256 verifications"},
	{"import.rows", "rows/s", "payroll rows from CSV to signed, sealed, stored and logged with a receipt; raw: ES256 signatures/s of one thread"},
	{"evidence.verify_year", "ms", "file with 60 attestations and 24 empty slots; raw: its bare signature checks"},
	{"vp.judge_year", "ms", "OpenID4VP response with them, from the wallet's octets to the stored assessment; raw: the bare signature checks of that"},
	{"evidence.bytes_year", "B", "proofs of 12 present and 12 absent slots of it, with their bounds of time and the head"},
	{"evidence.bytes_slot", "B", "proofs of one rung in it: key, map, log, hash of box B"},
	{"vci.credential", "credentials/s", "collected by OpenID4VCI over https with DPoP, key proof and durable state, both sides; raw: its signatures and verifications alone on as many processors"},
	{"registry.pipeline", "entries/s", "log, map, head and publication, epochs of 5,000, 72-byte entries, records not stored; raw: SHA-256 leaf hashes/s of one thread"},
	{"registry.pipeline_admitted", "entries/s", "from octets of requests, each one record under its own JWT, all stored, to receipts; raw: ES256 verifications/s of one thread"},
	{"map.epoch500_1e6", "ms", "500 inserts and the root, 10^6 keys in the map"},
	{"map.epoch500_1e7", "ms", "500 inserts and the root, 10^7 keys in the map"},
	{"map.buckets_epoch500_1e6", "ms", "500 inserts, the root and their transaction, 10^6 keys in buckets on disk"},
	{"map.bytes_per_key", "B", "memory at 10^6 keys"},
	{"map.restart_1e6", "s", "a registry of 10^6 keys in memory opens again after it was stopped"},
	{"map.replay_1e6", "s", "the same without the map's file: the whole log is read"},
	{"map.absence_bytes_1e6", "B", "proof of an absence, 10^6 keys in the map"},
	{"map.prove", "us", "an absence, 10^6 keys in the map"},
	{"map.verify", "us", "an absence, 10^6 keys in the map"},
	{"compliance.duties", "duties/s", "findings of one contract's year"},
}

// benchmarks measure the figures; those of one group are measured together.
var benchmarks = []struct {
	names []string
	long  bool // takes more than 20 s
	run   func(context.Context, *benchRun) error
}{
	{[]string{"sdjwt.issue", "sdjwt.verify_kb"}, false, benchSDJWT},
	{[]string{"compliance.duties"}, false, benchDuties},
	{[]string{"evidence.verify_year", "evidence.bytes_year", "evidence.bytes_slot", "vp.judge_year"}, false, benchYear},
	{[]string{"map.epoch500_1e6", "map.bytes_per_key", "map.absence_bytes_1e6", "map.prove", "map.verify"}, false, benchMap},
	{[]string{"registry.pipeline"}, false, benchPipeline},
	{[]string{"registry.pipeline_admitted"}, false, benchAdmitted},
	{[]string{"import.rows"}, false, benchImport},
	{[]string{"vci.credential"}, false, benchVCI},
	{[]string{"map.epoch500_1e7"}, true, benchLargeMap},
	{[]string{"map.buckets_epoch500_1e6"}, true, benchBuckets},
	{[]string{"map.restart_1e6", "map.replay_1e6"}, true, benchRestart},
}

// benchRun is one run of the command.
type benchRun struct {
	benchEffort
	wanted  func(name string) bool
	results []benchResult
}

// benchResult is one figure. Raw is the cost of the bare cryptography, or of its speed, in the same unit and the same run.
type benchResult struct {
	Name  string   `json:"name"`
	Value float64  `json:"value"`
	Unit  string   `json:"unit"`
	Raw   *float64 `json:"raw,omitempty"`
	Ratio *float64 `json:"ratio,omitempty"`
}

// benchReport is the command's JSON document.
type benchReport struct {
	Machine benchMachine  `json:"machine"`
	Results []benchResult `json:"results"`
}

type benchMachine struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPU  string `json:"cpu,omitempty"`
	CPUs int    `json:"cpus"`
	Go   string `json:"go"`
}

func newBench(s streams) *cobra.Command { return newBenchOf(s, fullEffort) }

func newBenchOf(s streams, effort benchEffort) *cobra.Command {
	var asJSON, long bool
	var only string
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure throughput and proof sizes beside the raw cost of the cryptography",
		Long: "Measure on this machine. Where a raw cost exists, it is measured in turns with the figure, so that both see the same machine;\n" +
			"ratio is value / raw. Figures:\n\n" + describeFigures(),
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			pattern, err := regexp.Compile(only)
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("--only: %w", err)}
			}
			if !slices.ContainsFunc(benchFigures, func(f benchFigure) bool { return pattern.MatchString(f.name) }) {
				return &exitError{exitUsage, fmt.Errorf("--only %q matches no figure:\n%s", only, describeFigures())}
			}
			b := &benchRun{benchEffort: effort, wanted: pattern.MatchString, results: []benchResult{}}
			if err := b.run(cmd.Context(), s, long); err != nil {
				return err
			}
			if asJSON {
				return s.json(benchReport{thisMachine(), b.results})
			}
			return printBench(s.out, thisMachine(), b.results)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "print one JSON document")
	f.StringVar(&only, "only", "", "only the figures whose name matches this regular expression")
	f.BoolVar(&long, "long", false, "also what takes more than 20 seconds")
	return cmd
}

func describeFigures() string {
	var b strings.Builder
	for _, f := range benchFigures {
		fmt.Fprintf(&b, "  %-26s %-13s %s\n", f.name, f.unit, f.what)
	}
	return b.String()
}

func (b *benchRun) run(ctx context.Context, s streams, long bool) error {
	for _, group := range benchmarks {
		names := slices.DeleteFunc(slices.Clone(group.names), func(n string) bool { return !b.wanted(n) })
		switch {
		case len(names) == 0:
			continue
		case group.long && !long:
			s.say("left out, takes more than 20 s: %s; add --long", strings.Join(names, " "))
			continue
		}
		s.say("measuring %s", strings.Join(names, " "))
		if err := group.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", group.names[0], err)
		}
	}
	slices.SortFunc(b.results, func(x, y benchResult) int { return figureIndex(x.Name) - figureIndex(y.Name) })
	return nil
}

func figureIndex(name string) int {
	return slices.IndexFunc(benchFigures, func(f benchFigure) bool { return f.name == name })
}

// add notes a figure, unless it was measured only because another of its group was wanted.
func (b *benchRun) add(name string, value float64) {
	if b.wanted(name) {
		b.results = append(b.results, benchResult{Name: name, Value: rounded(value), Unit: benchFigures[figureIndex(name)].unit})
	}
}

// addBeside notes a figure and its raw cost.
func (b *benchRun) addBeside(name string, value, raw float64) {
	if b.wanted(name) {
		b.add(name, value)
		r := &b.results[len(b.results)-1]
		raw, ratio := rounded(raw), rounded(value/raw)
		r.Raw, r.Ratio = &raw, &ratio
	}
}

// rounded keeps four significant digits; the measurement has no more.
func rounded(v float64) float64 {
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64) // reads what was written
	return v
}

func printBench(w io.Writer, m benchMachine, results []benchResult) error {
	fmt.Fprintf(w, "%s/%s, %d CPUs %s, %s\n\n", m.OS, m.Arch, m.CPUs, m.CPU, m.Go)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "figure\tvalue\tunit\traw\tratio\t")
	text := func(v *float64) string {
		if v == nil {
			return "-"
		}
		return strconv.FormatFloat(*v, 'f', -1, 64)
	}
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, text(&r.Value), r.Unit, text(r.Raw), text(r.Ratio), benchFigures[figureIndex(r.Name)].what)
	}
	return t.Flush()
}

func thisMachine() benchMachine {
	return benchMachine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: cpuModel(), CPUs: runtime.NumCPU(), Go: runtime.Version()}
}

// cpuModel returns the processor's name where the system tells it.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
