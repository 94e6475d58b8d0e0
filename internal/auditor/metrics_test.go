package auditor

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	f := newFixture(t).begin()
	check := func(want string) {
		t.Helper()
		err := testutil.CollectAndCompare(f.a, strings.NewReader(want), "akashi_auditor_cosigned_entries", "akashi_auditor_stopped")
		if err != nil {
			t.Error(err)
		}
	}
	const head = `
# HELP akashi_auditor_cosigned_entries Size of the checkpoint that was cosigned last.
# TYPE akashi_auditor_cosigned_entries gauge
akashi_auditor_cosigned_entries{name="a.example/1"} 5
# HELP akashi_auditor_stopped 1 when a divergence has stopped the auditor for good: look into fraud.json.
# TYPE akashi_auditor_stopped gauge
`
	check(head + "akashi_auditor_stopped{name=\"a.example/1\"} 0\n")
	f.add(f.prev.Marshal())
	if status, _ := f.ask(f.request(5)); status != http.StatusUnprocessableEntity {
		t.Fatalf("got %d, want a divergence", status)
	}
	check(head + "akashi_auditor_stopped{name=\"a.example/1\"} 1\n")
	if problems, err := testutil.CollectAndLint(f.a); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	if n := testutil.CollectAndCount(f.a, "akashi_auditor_checkpoint_seconds"); n != 2 {
		t.Errorf("%d outcomes, want cosigned and divergence", n)
	}
}
