package logserver

import (
	"syscall"
	"time"
)

func mountSmallDisk(folder string) error {
	return syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=1m")
}

func unmount(folder string) error { return syscall.Unmount(folder, syscall.MNT_DETACH) }

// cpuTime is what the process has used of the processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
