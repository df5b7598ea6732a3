package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// machine is what a node would do once its root is there: here it reports what an extension can be seen by.
func machine() {
	arguments := kernelArguments()
	say("machine", "STAND-IN: root is up, kernel %s", release())
	for _, file := range list("/usr/local/etc/containers/*.yaml") {
		say("machine", "service %s", strings.TrimSuffix(filepath.Base(file), ".yaml"))
	}
	for _, file := range list("/etc/cri/conf.d/*.part") {
		say("machine", "containerd configuration %s", filepath.Base(file))
	}
	// libcrc32c asks the kernel for this algorithm by name, and there is nobody here to load a module for it.
	_ = loadModule("crc32c_generic")
	names := "drbd,zfs"
	if given, ok := arguments["lab.modules"]; ok {
		names = given
	}
	for _, name := range strings.Split(names, ",") {
		switch err := loadModule(name); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			say("machine", "module %s: %v", name, err)
		default:
			say("machine", "loaded module %s", name)
		}
	}
	say("machine", "STAND-IN: machine is running and ready")
	if _, ok := arguments["lab.poweroff"]; ok {
		powerOff()
	}
	for {
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(-1, &status, 0, nil); err != nil {
			time.Sleep(time.Second)
		}
	}
}

func list(pattern string) []string {
	files, _ := filepath.Glob(pattern)
	return files
}

func kernelArguments() map[string]string {
	content, _ := os.ReadFile("/proc/cmdline")
	arguments := map[string]string{}
	for _, word := range strings.Fields(string(content)) {
		name, value, _ := strings.Cut(word, "=")
		arguments[name] = value
	}
	return arguments
}

func release() string {
	content, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(content))
}

// loadModule loads a module and what it depends on, by modules.dep. A module that is not there is fs.ErrNotExist.
func loadModule(name string) error {
	folder := filepath.Join("/usr/lib/modules", release())
	content, err := os.ReadFile(filepath.Join(folder, "modules.dep"))
	if err != nil {
		return err
	}
	for _, line := range strings.Split(string(content), "\n") {
		file, needs, found := strings.Cut(line, ":")
		base, _, _ := strings.Cut(filepath.Base(file), ".")
		if !found || strings.ReplaceAll(base, "-", "_") != strings.ReplaceAll(name, "-", "_") {
			continue
		}
		files := strings.Fields(needs)
		for i := len(files) - 1; i >= 0; i-- {
			if err := insert(filepath.Join(folder, files[i])); err != nil {
				return err
			}
		}
		return insert(filepath.Join(folder, file))
	}
	return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
}

func insert(file string) error {
	image, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return insertImage(filepath.Base(file), image)
}
