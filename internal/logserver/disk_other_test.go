//go:build !linux

package logserver

import "errors"

func mountSmallDisk(string) error { return errors.New("only on Linux") }
func unmount(string) error        { return nil }
