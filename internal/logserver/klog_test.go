package logserver

import (
	"log/slog"

	"k8s.io/klog/v2"
)

// The log's library writes to klog, which would drown what a failing test says.
func init() { klog.SetSlogLogger(slog.New(slog.DiscardHandler)) }
