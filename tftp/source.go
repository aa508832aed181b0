package tftp

// The open handle of a streamed file, on any file system.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
)

// source is the open handle of a streamed file.
type source struct {
	info   fs.FileInfo
	reopen func() (fs.File, error)

	mu       sync.Mutex // for files that have only one position
	file     fs.File
	position int64
}

// read fills b from an offset. It fails when the file is no longer the version
// that was opened.
func (s *source) read(b []byte, offset int64) error {
	var err error
	if at, ok := s.file.(io.ReaderAt); ok {
		var n int
		if n, err = at.ReadAt(b, offset); n == len(b) {
			err = nil // io.EOF may come with the last byte
		}
	} else {
		err = s.readOn(b, offset)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errChanged
	}
	if err != nil {
		return err
	}
	return s.check()
}

// check compares the open file with what it was.
func (s *source) check() error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if !sameVersion(s.info, info) {
		return errChanged
	}
	return nil
}

// readOn reads a file that has one position. It seeks if the file can.
// Otherwise it reads on from there, and from the start again for an earlier
// offset.
func (s *source) readOn(b []byte, offset int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seeker, ok := s.file.(io.Seeker); ok {
		if _, err := seeker.Seek(offset, io.SeekStart); err != nil {
			return err
		}
		_, err := io.ReadFull(s.file, b)
		return err
	}
	if offset < s.position {
		again, err := s.reopen()
		if err != nil {
			return fmt.Errorf("reopen: %w", err)
		}
		s.file.Close() // was only read
		s.file, s.position = again, 0
	}
	skipped, err := io.CopyN(io.Discard, s.file, offset-s.position)
	s.position += skipped
	if err != nil {
		return err
	}
	n, err := io.ReadFull(s.file, b)
	s.position += int64(n)
	return err
}

// close closes the handle.
func (s *source) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file.Close() // was only read
}
