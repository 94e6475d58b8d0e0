package logserver

import "syscall"

func mountSmallDisk(folder string) error {
	return syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=1m")
}

func unmount(folder string) error { return syscall.Unmount(folder, syscall.MNT_DETACH) }
