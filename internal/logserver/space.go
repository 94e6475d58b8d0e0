package logserver

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// ErrDiskFull is returned while the disk has no room. What is in the log stays readable, and proofs are given as always.
var ErrDiskFull = errors.New("the registry's disk is full: nothing is taken in until the operator has made room; try again later")

// checkSpace returns [ErrDiskFull] when a disk has less than the reserve. So room runs out between epochs, where nothing is half done:
// the log would go on after a failed write, but a store that maps its files into memory would not live to see it.
func (s *Server) checkSpace() error {
	for _, folder := range append([]string{s.cfg.Dir}, s.cfg.Folders...) {
		if free, ok := s.cfg.free(folder); ok && free < s.cfg.Reserve {
			return fmt.Errorf("%w (%d MiB are left where %d MiB are kept free)", ErrDiskFull, free>>20, s.cfg.Reserve>>20)
		}
	}
	return nil
}

func freeSpace(folder string) (uint64, bool) {
	free, _, ok := diskSpace(folder)
	return free, ok
}

// isDiskFull also knows the errors of writes. Some layers below pass on no more than their text.
func isDiskFull(err error) bool {
	return errors.Is(err, ErrDiskFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		err != nil && strings.Contains(err.Error(), syscall.ENOSPC.Error())
}
