package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// afterExit is how long output is awaited that a process outside the command's process group may still hold open.
const afterExit = 2 * time.Second

// runCommand runs the command as a child, passes signals on to its process group, reaps what is orphaned meanwhile
// and returns its exit code; 128+n when signal n killed it. A command that can't be started is a failure of the
// command, as with Dagger: Go's text on its stderr, exit code 1.
func (s *spec) runCommand(args []string, out *outputs) (int, error) {
	env, err := s.environment()
	if err != nil {
		return 0, err
	}
	stdin, err := s.openStdin()
	if err != nil {
		return 0, err
	}
	if s.Forward != nil {
		if err := s.Forward.listen(); err != nil {
			return 0, fmt.Errorf("forward: %w", err)
		}
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	// Caught, not ignored: what a process ignores its children ignore too, caught signals are the child's to decide.
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	child, err := start(args, &os.ProcAttr{
		Env:   env,
		Files: []*os.File{stdin, outWrite, errWrite},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	for _, file := range []*os.File{stdin, outWrite, errWrite} {
		file.Close()
	}
	if err != nil {
		fmt.Fprintln(out.stderr, err)
		return 1, nil
	}
	streams := startCopy(outRead, errRead, out)
	go passOn(signals, child)
	code, err := reap(child)
	// As when a container's first process ends: what is left goes with it.
	if os.Getpid() == 1 {
		_ = syscall.Kill(-1, syscall.SIGKILL)
		streams.wait()
	} else {
		_ = syscall.Kill(-child, syscall.SIGKILL)
		streams.waitNoLongerThan(afterExit)
	}
	return code, err
}

func start(args []string, attr *os.ProcAttr) (pid int, err error) {
	path := args[0]
	if filepath.Base(path) == path {
		if path, err = exec.LookPath(path); err != nil {
			return 0, err
		}
	}
	process, err := os.StartProcess(path, args, attr)
	if err != nil {
		return 0, err
	}
	pid = process.Pid
	return pid, process.Release() // reap waits for all children at once
}

func (s *spec) openStdin() (*os.File, error) {
	switch {
	case s.RedirectStdin != "":
		file, err := os.Open(s.RedirectStdin)
		if err != nil {
			return nil, fmt.Errorf("redirectStdin: %w", err)
		}
		return file, nil
	case s.Stdin != "":
		read, write, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		go func() {
			_, _ = io.WriteString(write, s.Stdin) // a command need not read it all
			write.Close()
		}()
		return read, nil
	}
	return os.Open(os.DevNull)
}

func passOn(signals <-chan os.Signal, child int) {
	for received := range signals {
		switch number := received.(syscall.Signal); number {
		case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPIPE: // about the helper itself; Go's scheduler uses SIGURG
		default:
			_ = syscall.Kill(-child, number)
		}
	}
}

// reap waits until the child ends, and for whatever orphan ends before it.
func reap(child int) (int, error) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, fmt.Errorf("wait for the command: %w", err)
		case pid != child:
		case status.Signaled():
			return 128 + int(status.Signal()), nil
		case status.Exited():
			return status.ExitStatus(), nil
		}
	}
}
