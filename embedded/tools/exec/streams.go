package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// outputs are the places that the command's streams go to. Files are opened once, so that both streams may name one.
type outputs struct {
	files          map[string]*os.File
	stdout, stderr *scrubber
	fans           []*fan
}

func openOutputs(s *spec) (*outputs, error) {
	values, err := s.secrets()
	if err != nil {
		return nil, err
	}
	o := &outputs{files: map[string]*os.File{}}
	stdout, stderr := &fan{}, &fan{}
	stdout.add("stdout", os.Stdout)
	stderr.add("stderr", os.Stderr)
	type target struct {
		key, path string
		mode      os.FileMode
		mkdir     bool
		fans      []*fan
	}
	var targets []target
	if s.Out != "" {
		targets = append(targets,
			target{"out", filepath.Join(s.Out, "stdout"), 0o644, false, []*fan{stdout}},
			target{"out", filepath.Join(s.Out, "stderr"), 0o644, false, []*fan{stderr}})
		if s.Combined {
			targets = append(targets, target{"out", filepath.Join(s.Out, "combined"), 0o644, false, []*fan{stdout, stderr}})
		}
	}
	// Dagger's own mode for redirected streams: whoever runs the command alone may read them.
	if s.RedirectStdout != "" {
		targets = append(targets, target{"redirectStdout", s.RedirectStdout, 0o600, s.Mkdir, []*fan{stdout}})
	}
	if s.RedirectStderr != "" {
		targets = append(targets, target{"redirectStderr", s.RedirectStderr, 0o600, s.Mkdir, []*fan{stderr}})
	}
	for _, t := range targets {
		file, err := o.open(t.path, t.mode, t.mkdir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.key, err)
		}
		for _, fan := range t.fans {
			fan.add(t.path, file)
		}
	}
	o.fans = []*fan{stdout, stderr}
	o.stdout, o.stderr = newScrubber(stdout, values), newScrubber(stderr, values)
	return o, nil
}

func (o *outputs) open(path string, mode os.FileMode, mkdir bool) (*os.File, error) {
	path = filepath.Clean(path)
	if file, ok := o.files[path]; ok {
		return file, nil
	}
	if mkdir {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err == nil {
		o.files[path] = file
	}
	return file, err
}

// close flushes what the scrubbers hold back and tells of the first place that could not be written.
func (o *outputs) close() error {
	failures := []error{o.stdout.flush(), o.stderr.flush()}
	for _, fan := range o.fans {
		failures = append(failures, fan.failures...)
	}
	for _, file := range o.files {
		failures = append(failures, file.Close())
	}
	return errors.Join(failures...)
}

// fan writes to several places. One that fails is left out from then on and reported at the end: the command must
// not block on a full pipe because its log went away.
type fan struct {
	places   []place
	failures []error
}

type place struct {
	name string
	w    io.Writer
}

func (f *fan) add(name string, w io.Writer) {
	f.places = append(f.places, place{name, w})
}

func (f *fan) Write(p []byte) (int, error) {
	working := f.places[:0]
	for _, place := range f.places {
		if _, err := place.w.Write(p); err != nil {
			f.failures = append(f.failures, fmt.Errorf("write %s: %w", place.name, rootCause(err)))
			continue
		}
		working = append(working, place)
	}
	f.places = working
	return len(p), nil
}

func rootCause(err error) error {
	var pathError *os.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

// copyStreams copies the two pipes to the outputs until both are closed.
type copyStreams struct {
	pipes []*os.File
	done  sync.WaitGroup
}

func startCopy(stdout, stderr *os.File, o *outputs) *copyStreams {
	c := &copyStreams{pipes: []*os.File{stdout, stderr}}
	for _, one := range []struct {
		from *os.File
		to   io.Writer
	}{{stdout, o.stdout}, {stderr, o.stderr}} {
		c.done.Go(func() {
			buffer := make([]byte, 64<<10)
			for {
				n, err := one.from.Read(buffer)
				if n > 0 {
					_, _ = one.to.Write(buffer[:n])
				}
				if err != nil {
					return
				}
			}
		})
	}
	return c
}

// wait returns when both streams have ended.
func (c *copyStreams) wait() {
	c.done.Wait()
}

// waitNoLongerThan is for when a process that is out of reach may hold a pipe open: the rest of its output is lost.
func (c *copyStreams) waitNoLongerThan(patience time.Duration) {
	for _, pipe := range c.pipes {
		_ = pipe.SetReadDeadline(time.Now().Add(patience))
	}
	c.done.Wait()
}
