package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

func TestMetricsServed(t *testing.T) {
	p := startStory(t)
	// The fourth witness and the third auditor sign a moment after the quorum.
	var missing []string
	var body string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		body = getBody(t, "http://"+p.in.cfg.Registry.MetricsListen+"/metrics")
		missing = slices.DeleteFunc([]string{
			"akashi_registry_published_entries ", `akashi_registry_cosigner_lag_entries{name="w1.localhost",role="witness"} 0`,
			`akashi_auditor_stopped{name="a3.localhost"} 0`, "go_goroutines ", "process_open_fds ",
		}, func(line string) bool { return strings.Contains(body, line) })
		if len(missing) == 0 {
			break
		}
	}
	if len(missing) > 0 {
		t.Errorf("no line %q", missing)
	}
	if strings.Contains(body, "8990000000001") {
		t.Error("an organization's id is among the metrics")
	}
}

func getBody(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestTracing(t *testing.T) {
	var got otlpTraces
	var header http.Header
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
	}))
	defer collector.Close()
	env := map[string]string{
		"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL + "/", "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=a%20b",
	}
	p, flush, err := startTracing(streams{}, func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	ctx, parent := p.Tracer("akashi/test").Start(t.Context(), "parent")
	_, child := p.Tracer("akashi/test").Start(ctx, "child", trace.WithLinks(trace.Link{SpanContext: parent.SpanContext()}))
	child.SetAttributes(attribute.Int("n", 5), attribute.Bool("b", true), attribute.String("s", "x"), attribute.Float64("f", 0.5))
	child.SetStatus(codes.Error, "failed")
	child.End()
	parent.End()
	if err := flush(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	if header.Get("X-Tenant") != "a b" || header.Get("Content-Type") != "application/json" {
		t.Errorf("got header %v", header)
	}
	spans := got.ResourceSpans[0].ScopeSpans[0].Spans
	if len(spans) != 2 || got.ResourceSpans[0].ScopeSpans[0].Scope.Name != "akashi/test" {
		t.Fatalf("got %+v", got)
	}
	c, pa := spans[0], spans[1]
	if c.Name != "child" || c.ParentSpanID != pa.SpanID || c.TraceID != pa.TraceID || len(c.TraceID) != 32 || c.Status.Code != 2 || len(c.Links) != 1 || c.Links[0].SpanID != pa.SpanID {
		t.Errorf("got %+v, child of %+v", c, pa)
	}
	if v := mustJSON(t, c.Attributes); string(v) != `[{"key":"n","value":{"intValue":"5"}},{"key":"b","value":{"boolValue":true}},{"key":"s","value":{"stringValue":"x"}},{"key":"f","value":{"doubleValue":0.5}}]` {
		t.Errorf("attributes %s", v)
	}
}

func TestTracingChoices(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		on   bool
		fail string
	}{
		{map[string]string{}, false, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none"}, false, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "console"}, true, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, false, "none, otlp or console"},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, "http/json"},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4317"}, false, "URL"},
	} {
		p, flush, err := startTracing(streams{err: io.Discard}, func(name string) string { return test.env[name] })
		switch {
		case test.fail == "" && err != nil, test.fail != "" && (err == nil || !strings.Contains(err.Error(), test.fail)):
			t.Errorf("%v: got %v, want %q", test.env, err, test.fail)
		case (p != nil) != test.on:
			t.Errorf("%v: on is %v, want %v", test.env, p != nil, test.on)
		case err == nil:
			if err := flush(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}
