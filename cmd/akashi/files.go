package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// writeFile writes a file whole or not at all, also when the machine stops in the middle.
func writeFile(path string, data []byte, mode os.FileMode) error {
	if err := writeWhole(path, data, mode); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func writeWhole(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	var failed *os.PathError
	if errors.As(err, &failed) {
		return failed.Err // the path is that of the file beside it, which says nothing to the reader
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
