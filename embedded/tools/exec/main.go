// The exec helper runs one command in a container the way Dagger's API wants it run: with stdin, redirected streams,
// the streams and the exit code in files that outlive a failure or a cache hit, and secrets scrubbed.
//
// It is the exec's first argument (exec-helper SPEC COMMAND ARGUMENT...) and the container's process 1, static, and
// needs nothing in the container. SPEC is a JSON object: see the type spec.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

const (
	exitUnexpectedSuccess = 120 // the command succeeded where a failure was expected
	exitHelperProblem     = 121 // the helper itself could not do its work
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "cozystack-talos exec helper: %s\n", oneLine(err))
		code = exitHelperProblem
	}
	os.Exit(code)
}

func run(args []string) (int, error) {
	if len(args) < 2 {
		return 0, errors.New("usage: exec-helper SPEC COMMAND ARGUMENT...")
	}
	s, err := parseSpec(args[0])
	if err != nil {
		return 0, err
	}
	out, err := openOutputs(s)
	if err != nil {
		return 0, err
	}
	code, err := s.runCommand(s.arguments(args[1:]), out)
	if err := errors.Join(err, out.close()); err != nil {
		return 0, err
	}
	if s.Out != "" {
		if err := os.WriteFile(filepath.Join(s.Out, "exitCode"), []byte(strconv.Itoa(code)), 0o644); err != nil {
			return 0, fmt.Errorf("out: %w", err)
		}
	}
	switch {
	case s.Expect == "ANY", s.Expect == "FAILURE" && code != 0:
		return 0, nil
	case s.Expect == "FAILURE":
		return exitUnexpectedSuccess, nil
	}
	return code, nil
}

// oneLine keeps the first of several errors: the others are its consequences.
func oneLine(err error) string {
	var several interface{ Unwrap() []error }
	if errors.As(err, &several) {
		for _, one := range several.Unwrap() {
			if one != nil {
				return oneLine(one)
			}
		}
	}
	return err.Error()
}
