package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// tinyEffort runs everything and measures nothing.
var tinyEffort = benchEffort{rounds: 1, slice: time.Microsecond, employees: 3, months: 2, imports: 2, mapKeys: 2000, largeKeys: 3000, epoch: 20}

func runTinyBench(t *testing.T, args ...string) benchReport {
	t.Helper()
	var out bytes.Buffer
	cmd := newBenchOf(streams{nil, &out, io.Discard}, tinyEffort)
	cmd.SetArgs(append(args, "--json"))
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(&out)
	dec.DisallowUnknownFields()
	var r benchReport
	if err := dec.Decode(&r); err != nil {
		t.Fatalf("output is no report: %v", err)
	}
	if dec.More() {
		t.Error("more than one JSON document on stdout")
	}
	if r.Machine.OS == "" || r.Machine.Arch == "" || r.Machine.CPUs < 1 || r.Machine.Go == "" {
		t.Errorf("machine: got %+v", r.Machine)
	}
	return r
}

// checkFigures holds names, units and raw costs against what others script against, in that order.
func checkFigures(t *testing.T, got []benchResult, want ...benchResult) {
	t.Helper()
	var names []string
	for _, r := range got {
		names = append(names, r.Name)
	}
	if len(got) != len(want) {
		t.Fatalf("got %v, want %d figures", names, len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.Name != w.Name || g.Unit != w.Unit || (g.Raw == nil) != (w.Raw == nil) || (g.Ratio == nil) != (w.Raw == nil) {
			t.Errorf("figure %d: got %+v, want %+v", i, g, w)
		}
		if g.Value <= 0 {
			t.Errorf("%s: the value is %v", g.Name, g.Value)
		}
		if g.Ratio != nil && (*g.Raw <= 0 || *g.Ratio <= 0) {
			t.Errorf("%s: raw %v, ratio %v", g.Name, *g.Raw, *g.Ratio)
		}
	}
}

var beside = new(float64) // in an expectation: there is a raw cost

func TestBenchJSON(t *testing.T) {
	r := runTinyBench(t, "--only", "sdjwt|compliance")
	checkFigures(t, r.Results,
		benchResult{Name: "sdjwt.issue", Unit: "us/op", Raw: beside},
		benchResult{Name: "sdjwt.verify_kb", Unit: "us", Raw: beside},
		benchResult{Name: "compliance.duties", Unit: "duties/s"},
	)
}

// TestBenchEverything runs what needs a whole registry, on a scale on which figures mean nothing.
func TestBenchEverything(t *testing.T) {
	if testing.Short() {
		t.Skip("starts six registries")
	}
	r := runTinyBench(t, "--long")
	checkFigures(t, r.Results,
		benchResult{Name: "sdjwt.issue", Unit: "us/op", Raw: beside},
		benchResult{Name: "sdjwt.verify_kb", Unit: "us", Raw: beside},
		benchResult{Name: "import.rows", Unit: "rows/s", Raw: beside},
		benchResult{Name: "evidence.verify_year", Unit: "ms", Raw: beside},
		benchResult{Name: "vp.judge_year", Unit: "ms", Raw: beside},
		benchResult{Name: "evidence.bytes_year", Unit: "B"},
		benchResult{Name: "evidence.bytes_slot", Unit: "B"},
		benchResult{Name: "vci.credential", Unit: "credentials/s", Raw: beside},
		benchResult{Name: "registry.pipeline", Unit: "entries/s", Raw: beside},
		benchResult{Name: "registry.pipeline_admitted", Unit: "entries/s", Raw: beside},
		benchResult{Name: "map.epoch500_1e6", Unit: "ms"},
		benchResult{Name: "map.epoch500_1e7", Unit: "ms"},
		benchResult{Name: "map.buckets_epoch500_1e6", Unit: "ms"},
		benchResult{Name: "map.bytes_per_key", Unit: "B"},
		benchResult{Name: "map.restart_1e6", Unit: "s"},
		benchResult{Name: "map.replay_1e6", Unit: "s"},
		benchResult{Name: "map.absence_bytes_1e6", Unit: "B"},
		benchResult{Name: "map.prove", Unit: "us"},
		benchResult{Name: "map.verify", Unit: "us"},
		benchResult{Name: "compliance.duties", Unit: "duties/s"},
	)
}

func TestBenchGroupsCoverTheFigures(t *testing.T) {
	var grouped, listed []string
	for _, g := range benchmarks {
		grouped = append(grouped, g.names...)
	}
	for _, f := range benchFigures {
		listed = append(listed, f.name)
	}
	slices.Sort(grouped)
	slices.Sort(listed)
	if !slices.Equal(grouped, listed) {
		t.Errorf("measured %v, listed %v", grouped, listed)
	}
}

func TestBenchTable(t *testing.T) {
	var out strings.Builder
	raw, ratio := 40.1, 1.28
	if err := printBench(&out, thisMachine(), []benchResult{{"sdjwt.issue", 51.2, "us/op", &raw, &ratio}, {Name: "map.prove", Value: 3, Unit: "us"}}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 6 || !slices.Equal(strings.Fields(lines[3])[:5], []string{"sdjwt.issue", "51.2", "us/op", "40.1", "1.28"}) || strings.Fields(lines[4])[3] != "-" {
		t.Errorf("got %s", out.String())
	}
}

func TestBenchRejectsABadPattern(t *testing.T) {
	for _, pattern := range []string{"(", "no.such.figure"} {
		cmd := newBenchOf(streams{nil, io.Discard, io.Discard}, tinyEffort)
		cmd.SetArgs([]string{"--only", pattern})
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		var exit *exitError
		if err := cmd.Execute(); !errors.As(err, &exit) || exit.code != exitUsage {
			t.Errorf("--only %s: got %v, want a usage error", pattern, err)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 2}, 2}} {
		if got := median(c.in); got != c.want {
			t.Errorf("median of %v: got %v, want %v", c.in, got, c.want)
		}
	}
}
