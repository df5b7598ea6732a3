package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

// The file says that not all of the state has reached the disk, and on which boot of the machine that was.
const (
	unsettledFile = "unsettled"
	bootIDFile    = "/proc/sys/kernel/random/boot_id"
	lockFile      = "buildkitd.lock"
	// So long nothing is done before the state is written: mostly the next call follows at once.
	calm = 2 * time.Second
)

// settled sees to it that a state that did not reach the disk whole is never taken for one that did. Steps do not wait
// for the disk; what they wrote is written when nothing runs, and a mark stands until then. A daemon that finds the
// mark of an earlier boot begins with nothing.
type settled struct {
	root   string
	bootID string
	// sync writes the file system of an open file.
	sync   func(int) error
	mutex  sync.Mutex
	begun  int
	active int
	marked bool
	timer  *time.Timer
}

// openSettled empties a state that the machine went down with. bootID is a file.
func openSettled(root, bootID string) (*settled, error) {
	text, err := os.ReadFile(bootID)
	if err != nil {
		return nil, fmt.Errorf("the machine does not say which boot this is: %w", err)
	}
	s := &settled{root: root, bootID: strings.TrimSpace(string(text)), sync: unix.Syncfs}
	found, err := os.ReadFile(s.mark())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, err
	case string(found) == s.bootID:
		s.marked = true
		return s, nil
	}
	logrus.Warnf("the machine went down, or the folder was copied, before all of %s was on the disk: it is emptied", root)
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if entry.Name() == lockFile || entry.Name() == unsettledFile {
			continue
		}
		if err := os.RemoveAll(filepath.Join(root, entry.Name())); err != nil {
			return nil, err
		}
	}
	return s, os.Remove(s.mark())
}

func (s *settled) mark() string {
	return filepath.Join(s.root, unsettledFile)
}

// begin marks the state, on the disk, before anything changes it.
func (s *settled) begin() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	if !s.marked {
		if err := s.setMark(); err != nil {
			return err
		}
		s.marked = true
	}
	s.begun++
	s.active++
	return nil
}

func (s *settled) setMark() error {
	file, err := os.OpenFile(s.mark(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteString(s.bootID); err != nil {
		return err
	}
	folder, err := os.Open(s.root)
	if err != nil {
		return err
	}
	defer folder.Close()
	return errors.Join(file.Sync(), folder.Sync())
}

// end has the state written once nothing has been done for a while.
func (s *settled) end() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.active--
	if s.active == 0 {
		s.timer = time.AfterFunc(calm, s.close)
	}
}

// close has the state written when the daemon ends, or does nothing for a while.
func (s *settled) close() {
	if err := s.settle(); err != nil {
		logrus.Errorf("the state can't be written to the disk: %v", err)
	}
}

// settle writes the state to the disk and takes the mark away. What begins meanwhile may not be written: then the mark
// stands until that has ended, too.
func (s *settled) settle() error {
	s.mutex.Lock()
	begun, marked := s.begun, s.marked
	s.mutex.Unlock()
	if !marked {
		return nil
	}
	folder, err := os.Open(s.root)
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := s.sync(int(folder.Fd())); err != nil {
		return err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.active > 0 || s.begun != begun || !s.marked {
		return nil
	}
	if err := os.Remove(s.mark()); err != nil {
		return err
	}
	s.marked = false
	return folder.Sync()
}

// unary is what a call passes through that may change the state.
func (s *settled) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if !strings.HasSuffix(info.FullMethod, "/Solve") {
		return handle(ctx, request)
	}
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.end()
	return handle(ctx, request)
}
