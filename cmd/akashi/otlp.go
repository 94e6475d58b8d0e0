package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// startTracing returns where spans go, by the variables of the OpenTelemetry specification, and what flushes them:
//
//	OTEL_TRACES_EXPORTER                 none (default), otlp, or console, which writes to stderr
//	OTEL_EXPORTER_OTLP_TRACES_ENDPOINT   URL for the traces, or
//	OTEL_EXPORTER_OTLP_ENDPOINT          URL to which /v1/traces is added; default http://localhost:4318
//	OTEL_EXPORTER_OTLP_HEADERS           name=value,name=value
//	OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_BSP_...   as the SDK reads them
//
// Left out: other protocols of OTLP than http/json, metrics (Prometheus has them) and logs.
func startTracing(s streams, env func(string) string) (trace.TracerProvider, func(context.Context) error, error) {
	var export otlpExporter
	switch kind := env("OTEL_TRACES_EXPORTER"); kind {
	case "", "none":
		return nil, func(context.Context) error { return nil }, nil
	case "console":
		export.send = consoleSink(s.err)
	case "otlp":
		sink, err := otlpSink(env)
		if err != nil {
			return nil, nil, err
		}
		export.send = sink
	default:
		return nil, nil, fmt.Errorf("OTEL_TRACES_EXPORTER=%q: none, otlp or console", kind)
	}
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(&export))
	return p, p.Shutdown, nil
}

func consoleSink(w io.Writer) func(context.Context, []byte) error {
	var mu sync.Mutex
	return func(_ context.Context, body []byte) error {
		mu.Lock()
		defer mu.Unlock()
		_, err := w.Write(append(body, '\n'))
		return err
	}
}

// otlpSink posts to a collector (OTLP 1.x, "OTLP/HTTP", JSON encoding).
func otlpSink(env func(string) string) (func(context.Context, []byte) error, error) {
	if p := env("OTEL_EXPORTER_OTLP_PROTOCOL"); p != "" && p != "http/json" {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL=%q: only http/json is spoken", p)
	}
	target := env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if target == "" {
		base := env("OTEL_EXPORTER_OTLP_ENDPOINT")
		if base == "" {
			base = "http://localhost:4318"
		}
		target = strings.TrimSuffix(base, "/") + "/v1/traces"
	}
	if u, err := url.Parse(target); err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the OTLP endpoint must be an http or https URL")
	}
	headers := http.Header{"Content-Type": {"application/json"}}
	for pair := range strings.SplitSeq(env("OTEL_EXPORTER_OTLP_HEADERS"), ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok {
			continue
		}
		plain, err := url.PathUnescape(value)
		if err != nil {
			return nil, errors.New("OTEL_EXPORTER_OTLP_HEADERS: a value is not percent-encoded as it must be")
		}
		headers.Set(strings.TrimSpace(name), plain)
	}
	client := &http.Client{Timeout: 10 * time.Second}
	return func(ctx context.Context, body []byte) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header = headers.Clone()
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
		if resp.StatusCode/100 != 2 {
			return fmt.Errorf("the trace collector answered %s", resp.Status)
		}
		return nil
	}, nil
}

// otlpExporter is a [sdktrace.SpanExporter] that writes ExportTraceServiceRequest as JSON.
type otlpExporter struct {
	send func(context.Context, []byte) error
}

// Shutdown is of [sdktrace.SpanExporter].
func (e *otlpExporter) Shutdown(context.Context) error { return nil }

// ExportSpans is of [sdktrace.SpanExporter].
func (e *otlpExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	body, err := json.Marshal(otlpRequest(spans))
	if err != nil {
		return err
	}
	return e.send(ctx, body)
}

// The members of OTLP's JSON encoding that are used: names in lowerCamelCase, 64-bit integers as strings, identifiers in hex.
type (
	otlpTraces struct {
		ResourceSpans []otlpResourceSpans `json:"resourceSpans"`
	}
	otlpResourceSpans struct {
		Resource   otlpResource     `json:"resource"`
		ScopeSpans []otlpScopeSpans `json:"scopeSpans"`
	}
	otlpResource struct {
		Attributes []otlpAttribute `json:"attributes,omitempty"`
	}
	otlpScopeSpans struct {
		Scope otlpScope  `json:"scope"`
		Spans []otlpSpan `json:"spans"`
	}
	otlpScope struct {
		Name string `json:"name"`
	}
	otlpSpan struct {
		TraceID      string          `json:"traceId"`
		SpanID       string          `json:"spanId"`
		ParentSpanID string          `json:"parentSpanId,omitempty"`
		Name         string          `json:"name"`
		Kind         int             `json:"kind"`
		Start        string          `json:"startTimeUnixNano"`
		End          string          `json:"endTimeUnixNano"`
		Attributes   []otlpAttribute `json:"attributes,omitempty"`
		Links        []otlpLink      `json:"links,omitempty"`
		Status       otlpStatus      `json:"status"`
	}
	otlpLink struct {
		TraceID string `json:"traceId"`
		SpanID  string `json:"spanId"`
	}
	otlpStatus struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
	}
	otlpAttribute struct {
		Key   string         `json:"key"`
		Value map[string]any `json:"value"`
	}
)

func otlpRequest(spans []sdktrace.ReadOnlySpan) otlpTraces {
	out := otlpResourceSpans{Resource: otlpResource{otlpAttributes(spans[0].Resource().Attributes())}}
	at := make(map[instrumentation.Scope]int)
	for _, s := range spans {
		scope := s.InstrumentationScope()
		i, ok := at[scope]
		if !ok {
			i = len(out.ScopeSpans)
			at[scope] = i
			out.ScopeSpans = append(out.ScopeSpans, otlpScopeSpans{Scope: otlpScope{scope.Name}})
		}
		out.ScopeSpans[i].Spans = append(out.ScopeSpans[i].Spans, otlpSpanOf(s))
	}
	return otlpTraces{[]otlpResourceSpans{out}}
}

func otlpSpanOf(s sdktrace.ReadOnlySpan) otlpSpan {
	nanos := func(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }
	out := otlpSpan{
		TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(), Name: s.Name(), Kind: int(s.SpanKind()),
		Start: nanos(s.StartTime()), End: nanos(s.EndTime()), Attributes: otlpAttributes(s.Attributes()),
	}
	if s.Parent().HasSpanID() {
		out.ParentSpanID = s.Parent().SpanID().String()
	}
	for _, l := range s.Links() {
		out.Links = append(out.Links, otlpLink{l.SpanContext.TraceID().String(), l.SpanContext.SpanID().String()})
	}
	switch s.Status().Code { // OTLP counts them in another order than the API
	case codes.Ok:
		out.Status.Code = 1
	case codes.Error:
		out.Status = otlpStatus{2, s.Status().Description}
	}
	return out
}

func otlpAttributes(attrs []attribute.KeyValue) []otlpAttribute {
	var out []otlpAttribute
	for _, a := range attrs {
		value := map[string]any{}
		switch a.Value.Type() {
		case attribute.INT64:
			value["intValue"] = strconv.FormatInt(a.Value.AsInt64(), 10)
		case attribute.BOOL:
			value["boolValue"] = a.Value.AsBool()
		case attribute.FLOAT64:
			value["doubleValue"] = a.Value.AsFloat64()
		default:
			value["stringValue"] = a.Value.String()
		}
		out = append(out, otlpAttribute{string(a.Key), value})
	}
	return out
}
