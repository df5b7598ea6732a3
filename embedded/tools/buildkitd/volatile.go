package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/buildkit/snapshot"
)

const volatileOption = "volatile"

// volatile has overlays mounted without what the kernel does when one of them goes: it would write to the disk all that
// the file system below has not written yet, of every container and every other program, and the step that ended waits.
// What that was for, settled does.
type volatile struct {
	snapshot.Snapshotter
}

func (s volatile) Mounts(ctx context.Context, key string) (snapshot.Mountable, error) {
	mounts, err := s.Snapshotter.Mounts(ctx, key)
	if err != nil {
		return nil, err
	}
	return volatileMountable{mounts}, nil
}

type volatileMountable struct {
	snapshot.Mountable
}

// Mount is called for each time that something is mounted.
func (m volatileMountable) Mount() ([]mount.Mount, func() error, error) {
	mounts, release, err := m.Mountable.Mount()
	if err != nil {
		return nil, nil, err
	}
	for number, one := range mounts {
		work, ok := workFolder(one)
		if !ok {
			continue
		}
		// What the kernel leaves here refuses a second mount.
		if err := os.RemoveAll(filepath.Join(work, "work", "incompat")); err != nil {
			return nil, nil, errors.Join(err, release())
		}
		mounts[number].Options = append(slices.Clone(one.Options), volatileOption)
	}
	return mounts, release, nil
}

func workFolder(one mount.Mount) (string, bool) {
	if one.Type != "overlay" {
		return "", false
	}
	for _, option := range one.Options {
		if folder, ok := strings.CutPrefix(option, "workdir="); ok {
			return folder, true
		}
	}
	return "", false
}

// canBeVolatile tries it below a folder: Linux 5.10 can.
func canBeVolatile(root string) bool {
	scratch, err := os.MkdirTemp(root, "volatile-")
	if err != nil {
		return false
	}
	defer os.RemoveAll(scratch)
	var options []string
	for _, name := range []string{"lowerdir", "upperdir", "workdir"} {
		folder := filepath.Join(scratch, name)
		if err := os.Mkdir(folder, 0o700); err != nil {
			return false
		}
		options = append(options, name+"="+folder)
	}
	target := filepath.Join(scratch, "target")
	if err := os.Mkdir(target, 0o700); err != nil {
		return false
	}
	one := mount.Mount{Type: "overlay", Source: "overlay", Options: append(options, volatileOption)}
	if err := one.Mount(target); err != nil {
		return false
	}
	return mount.Unmount(target, 0) == nil
}
