package main

import (
	"bytes"
	"io"
	"slices"
)

const mask = "***"

// scrubber replaces secret values by *** in what passes through it, also where a value is split over several writes.
//
// Of several values that begin at the same place the longest wins, as in Dagger. Bytes that may be the beginning of a
// value are held back until the next write decides, or until flush; everything else passes at once.
type scrubber struct {
	dst     io.Writer
	byFirst [256][][]byte // values by first byte, longest first
	active  bool
	held    []byte
}

// newScrubber takes the values as they are and, as Dagger does, each value without its surrounding white space too:
// a file's trailing newline must not save the token in it. Empty values are left out; there is no other minimum.
func newScrubber(dst io.Writer, values [][]byte) *scrubber {
	s := &scrubber{dst: dst}
	for _, value := range values {
		for _, form := range [][]byte{value, bytes.TrimSpace(value)} {
			if len(form) > 0 {
				s.byFirst[form[0]] = append(s.byFirst[form[0]], form)
				s.active = true
			}
		}
	}
	for _, forms := range s.byFirst {
		slices.SortFunc(forms, func(a, b []byte) int { return len(b) - len(a) })
	}
	return s
}

func (s *scrubber) Write(p []byte) (int, error) {
	if !s.active {
		return s.dst.Write(p)
	}
	data := p
	if len(s.held) > 0 {
		data = append(s.held, p...)
	}
	return len(p), s.pass(data, false)
}

// flush writes what was held back, once nothing more can come.
func (s *scrubber) flush() error {
	return s.pass(s.held, true)
}

func (s *scrubber) pass(data []byte, last bool) error {
	var clean []byte
	start, at := 0, 0
	for at < len(data) {
		if s.byFirst[data[at]] == nil {
			at++
			continue
		}
		length, undecided := s.match(data[at:], last)
		if undecided {
			break
		}
		if length == 0 {
			at++
			continue
		}
		clean = append(append(clean, data[start:at]...), mask...)
		at += length
		start = at
	}
	if clean == nil {
		clean = data[:at]
	} else {
		clean = append(clean, data[start:at]...)
	}
	var err error
	if len(clean) > 0 {
		_, err = s.dst.Write(clean)
	}
	s.held = append([]byte(nil), data[at:]...)
	return err
}

// match tells how long the value is that data begins with (0: none); undecided means that more data could still
// complete a value, or a longer one.
func (s *scrubber) match(data []byte, last bool) (length int, undecided bool) {
	for _, value := range s.byFirst[data[0]] {
		if bytes.HasPrefix(data, value) {
			return len(value), false
		}
		if !last && bytes.HasPrefix(value, data) {
			return 0, true
		}
	}
	return 0, false
}
