package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func boot(t *testing.T, id string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "boot_id")
	if err := os.WriteFile(path, []byte(id+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func opened(t *testing.T, root, id string) *settled {
	t.Helper()
	state, err := openSettled(root, boot(t, id))
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// written returns a folder with the lock and a file of the state.
func written(t *testing.T) (string, string) {
	t.Helper()
	root := t.TempDir()
	file := filepath.Join(root, "folder", "file")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(root, lockFile)} {
		if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root, file
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestStateThatTheMachineWentDownWithIsEmptied(t *testing.T) {
	root, file := written(t)
	if err := opened(t, root, "one").begin(); err != nil {
		t.Fatal(err)
	}
	opened(t, root, "one")
	if !exists(file) {
		t.Fatal("what a daemon left that was killed is gone, though the machine still knows it")
	}
	opened(t, root, "two")
	if exists(file) || exists(filepath.Join(root, unsettledFile)) || !exists(filepath.Join(root, lockFile)) {
		t.Error("the state was to be emptied, but for the lock")
	}
}

func TestStateThatWasWrittenIsKeptOverABoot(t *testing.T) {
	root, file := written(t)
	state := opened(t, root, "one")
	if err := state.begin(); err != nil {
		t.Fatal(err)
	}
	state.end()
	state.close()
	if opened(t, root, "two"); !exists(file) {
		t.Error("the state is gone, though it was on the disk")
	}
}

func TestMarkStandsWhileAnythingRuns(t *testing.T) {
	root, _ := written(t)
	state := opened(t, root, "one")
	for range 2 {
		if err := state.begin(); err != nil {
			t.Fatal(err)
		}
	}
	state.end()
	state.close()
	mark := filepath.Join(root, unsettledFile)
	if !exists(mark) {
		t.Fatal("the mark is gone while a call runs")
	}
	state.end()
	for deadline := time.Now().Add(4 * calm); exists(mark); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the mark stands although nothing runs")
		}
	}
	if err := state.begin(); err != nil || !exists(mark) {
		t.Errorf("the next call does not mark the state anew: %v", err)
	}
}

func TestWhatBeginsWhileTheStateIsWrittenKeepsTheMark(t *testing.T) {
	root, _ := written(t)
	state := opened(t, root, "one")
	call := func() {
		if err := state.begin(); err != nil {
			t.Fatal(err)
		}
		state.end()
	}
	call()
	write := state.sync
	state.sync = func(int) error {
		call()
		return nil
	}
	state.close()
	mark := filepath.Join(root, unsettledFile)
	if !exists(mark) {
		t.Error("the mark is gone, though a call ended after the state was on its way to the disk")
	}
	state.sync = write
	state.close()
	if exists(mark) {
		t.Error("the mark stands although all is written")
	}
	state.sync = func(int) error {
		t.Error("what is written is written once more")
		return nil
	}
	state.close()
}

func TestCallThatCannotMarkTheStateDoesNotCount(t *testing.T) {
	root, _ := written(t)
	state := opened(t, root, "one")
	mark := filepath.Join(root, unsettledFile)
	if err := os.Mkdir(mark, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := state.begin(); err == nil {
		t.Fatal("a call began without a mark")
	}
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	if err := state.begin(); err != nil {
		t.Fatal(err)
	}
	state.end()
	state.close()
	if exists(mark) {
		t.Error("the mark stands although nothing runs")
	}
}
