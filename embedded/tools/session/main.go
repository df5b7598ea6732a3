// The session helper is the client's end of one BuildKit session: it gives buildkitd the local folders, secrets,
// registry credentials and OCI layouts that a solve asks for, and takes what a solve exports.
//
//	session-helper --addr unix:///path/to/buildkitd.sock [--shared-key KEY] [--state DIR]
//
// It prints {"id": "<session id>"} and then answers each line of JSON on stdin with one on stdout, in order: see the
// type request. A line {"error": "…"} without a number is the last: the session is over. It ends when stdin does, on
// SIGTERM and SIGINT, and with its parent.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/moby/buildkit/client"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

func main() {
	addr := flag.String("addr", "", "buildkitd's address")
	sharedKey := flag.String("shared-key", "", "lets sessions of the same key share uploaded folders")
	state := flag.String("state", "", "folder for the seed of the registry token keys (default: in the user's cache)")
	flag.Parse()
	answers := newAnswers(os.Stdout)
	if err := run(*addr, *sharedKey, *state, answers); err != nil {
		answers.last(err)
		os.Exit(1)
	}
}

func run(addr, sharedKey, state string, answers *answers) error {
	if addr == "" || flag.NArg() > 0 {
		return errors.New("usage: session-helper --addr ADDRESS [--shared-key KEY] [--state DIR]")
	}
	if state == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		state = filepath.Join(cache, "cozystack-talos", "session")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go exitWithParent()

	daemon, err := client.New(ctx, addr,
		client.WithGRPCDialOption(grpc.WithInitialWindowSize(window)),
		client.WithGRPCDialOption(grpc.WithInitialConnWindowSize(window)),
		client.WithGRPCDialOption(grpc.WithReadBufferSize(buffer)),
		client.WithGRPCDialOption(grpc.WithWriteBufferSize(buffer)))
	if err != nil {
		return err
	}
	provider := newProvider(state)
	defer provider.close()
	over := make(chan error, 2)
	id, err := provider.open(ctx, sharedKey, daemon.Dialer(), over)
	if err != nil {
		return fmt.Errorf("buildkitd at %s does not answer: %w", addr, err)
	}
	answers.send(answer{ID: id})
	go func() { over <- provider.serve(os.Stdin, answers) }()
	select {
	case err := <-over:
		if ctx.Err() != nil {
			return nil // the session ends because this program was told to
		}
		return err
	case <-ctx.Done():
		return nil
	}
}

// exitWithParent ends the process as soon as its parent is gone, also when somebody else holds the other end of
// stdin. PR_SET_PDEATHSIG is not it: that fires when the thread ends that started this process.
func exitWithParent() {
	parent := os.Getppid()
	fd, err := unix.PidfdOpen(parent, 0)
	if err != nil {
		if errors.Is(err, unix.ESRCH) {
			os.Exit(0)
		}
		return // a kernel without pidfd: stdin's end has to do
	}
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if err == nil {
			os.Exit(0)
		}
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
