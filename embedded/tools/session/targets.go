package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/moby/buildkit/session/filesync"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// exporterKey is the metadata key by which BuildKit says which of a solve's exporters is writing.
const exporterKey = "buildkit-attachable-exporter-id"

// targets are the places that exporters write to, by the exporter's number in the solve.
type targets struct {
	named[int, target]
	running sync.WaitGroup
}

type target struct{ dir, file string }

func (t *targets) set(index int, dir, file string) error {
	path := dir + file
	if (dir == "") == (file == "") || !filepath.IsAbs(path) || index < 0 {
		return errors.New("give index and the absolute path of either dir or file")
	}
	if info, err := os.Stat(path); file != "" && err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%q is there and is not a regular file: %v", path, info.Mode().Type())
	}
	t.named.set(index, target{dir, file})
	return nil
}

func (t *targets) Register(server *grpc.Server) { filesync.RegisterFileSendServer(server, t) }

// settle waits a little for what is being received: it ends with the connection and takes its partial files away.
func (t *targets) settle(patience time.Duration) {
	settled := make(chan struct{})
	go func() {
		t.running.Wait()
		close(settled)
	}()
	select {
	case <-settled:
	case <-time.After(patience):
	}
}

// DiffCopy takes one exporter's output. A folder is merged into what is there. Its files appear under their names only
// once all are whole, and so does a file.
func (t *targets) DiffCopy(stream filesync.FileSend_DiffCopyServer) error {
	index := 0
	if md, ok := metadata.FromIncomingContext(stream.Context()); ok {
		for _, value := range md.Get(exporterKey) {
			index, _ = strconv.Atoi(value)
		}
	}
	to, ok := t.get(index)
	if !ok {
		return fmt.Errorf("no target was set for exporter %d", index)
	}
	t.running.Add(1)
	defer t.running.Done()
	if to.dir != "" {
		return receiveFolder(stream, index, to.dir)
	}
	if err := os.MkdirAll(filepath.Dir(to.file), 0o755); err != nil {
		return err
	}
	partial, err := os.CreateTemp(filepath.Dir(to.file), "."+filepath.Base(to.file)+".*.partial")
	if err != nil {
		return err
	}
	open := func(map[string]string) (io.WriteCloser, error) { return partial, nil }
	err = filesync.NewFSSyncTarget(filesync.WithFSSync(index, open)).DiffCopy(stream)
	if err == nil {
		err = os.Chmod(partial.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(partial.Name(), to.file)
	}
	if err != nil {
		os.Remove(partial.Name())
	}
	return err
}
