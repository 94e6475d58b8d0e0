package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newMetrics returns what every service of this process registers with, and that has the process's own figures.
func newMetrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// metricsAddresses returns where this process serves metrics: for the registry, and for members that say so.
func (in *instance) metricsAddresses() []string {
	var out []string
	add := func(addr string) {
		if addr != "" && !slices.Contains(out, addr) {
			out = append(out, addr)
		}
	}
	if in.registry != nil {
		add(in.cfg.Registry.MetricsListen)
	}
	for _, m := range in.cfg.Members {
		if in.runs(m.Role) {
			add(m.MetricsListen)
		}
	}
	return out
}

// startMetrics serves the metrics of this process over plain http, on a listener of their own: they are the operator's, not the public's.
func (in *instance) startMetrics(context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(in.metrics, promhttp.HandlerOpts{Timeout: 10 * time.Second, MaxRequestsInFlight: 4}))
	for _, addr := range in.metricsAddresses() {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return fmt.Errorf("metrics_listen: %w; change it in %s, or leave it empty", err, in.cfg.path(configName))
		}
		s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(in.opt.log.Handler(), slog.LevelDebug)}
		in.servers = append(in.servers, s)
		go func() {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				in.failed <- err
			}
		}()
	}
	return nil
}
