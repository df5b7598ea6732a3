package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// machine is what a node would do once its root is there: load the modules that its configuration names, and start
// services, those of extensions among them.
func machine() {
	arguments := kernelArguments()
	say("STAND-IN: root is up, kernel %s", release())
	for _, file := range list("/etc/cri/conf.d/*.part") {
		say("STAND-IN: containerd configuration %s", filepath.Base(file))
	}
	configured, given := arguments["lab.config"]
	if !given || configured == "none" {
		maintenance()
	} else {
		loadModules(arguments)
		boot(strings.Split(configured, ","))
	}
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

// controller is how Talos marks the lines of its controllers.
func controller(name string, more string) string {
	return fmt.Sprintf(`{"component": "controller-runtime", "controller": "%s"%s}`, name, more)
}

// maintenance is where a node without a machine configuration ends.
func maintenance() {
	say("initialize sequence: 1 phase(s)")
	say("phase config (1/1): 1 tasks(s)")
	say("task loadConfig (1/1): starting")
	say("entering maintenance service %s", controller("config.AcquireController", ""))
}

// boot starts the services of the extensions, each of which waits for what it depends on. The node is ready once they
// all run.
func boot(configured []string) {
	say("boot sequence: 1 phase(s)")
	say("phase startEverything (1/1): 1 tasks(s)")
	say("task startAllServices (1/1): starting")
	files := list("/usr/local/etc/containers/*.yaml")
	say("task startAllServices (1/1): waiting for %d services", len(files))
	var down []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		must(err)
		one := parseService(string(content))
		say("service[ext-%s](Starting): Starting service", one.name)
		if unmet := one.unmet(configured); len(unmet) > 0 {
			say("service[ext-%s](Waiting): Waiting for %s", one.name, strings.Join(unmet, ", "))
			down = append(down, fmt.Sprintf(`service "ext-%s" to be "up"`, one.name))
			continue
		}
		say("service[ext-%s](Running): STAND-IN: its container would run now", one.name)
	}
	if len(down) > 0 {
		say("task startAllServices (1/1): %s", strings.Join(down, ", "))
		return
	}
	say("task startAllServices (1/1): done, 1ms")
	say("phase startEverything (1/1): done, 1ms")
	say("boot sequence: done: 1ms")
	say("machine is running and ready %s", controller("runtime.MachineStatusController", ""))
}

// service is what an extension's service file says of what it waits for; other services and the network count as there.
type service struct {
	name          string
	paths         []string
	configuration bool
}

// parseService reads the name and the `depends` of a service file: one `key: value` a line.
func parseService(text string) service {
	var found service
	depends := false
	for _, line := range strings.Split(text, "\n") {
		if line != "" && !strings.ContainsAny(line[:1], " -#") { // a key at the top
			depends = strings.HasPrefix(line, "depends:")
		}
		key, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "- "), ":")
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		switch {
		case strings.HasPrefix(line, "name:"):
			found.name = value
		case depends && key == "path":
			found.paths = append(found.paths, value)
		case depends && key == "configuration" && value == "true":
			found.configuration = true
		}
	}
	return found
}

// unmet words what a service waits for; `configured` names the services that have a configuration.
func (s service) unmet(configured []string) []string {
	var words []string
	for _, path := range s.paths {
		if _, err := os.Stat(path); err != nil {
			words = append(words, fmt.Sprintf("file %q to exist", path))
		}
	}
	if s.configuration && !slices.Contains(configured, s.name) {
		words = append(words, "extension service config")
	}
	return words
}

// loadModules loads the modules that the machine configuration would name.
func loadModules(arguments map[string]string) {
	// libcrc32c asks the kernel for this algorithm by name, and there is nobody here to load a module for it.
	_ = loadModule("crc32c_generic")
	var names []string
	for _, file := range list(filepath.Join("/usr/lib/modules", release(), "extras/*.ko")) {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".ko"))
	}
	if given, ok := arguments["lab.modules"]; ok {
		names = strings.Split(given, ",")
	}
	for _, name := range names {
		if err := loadModule(name); err != nil {
			failure := fmt.Sprintf(`, "error": "error loading module \"%s\": %v"`, name, err)
			say("controller failed %s", controller("runtime.KernelModuleSpecController", failure))
			continue
		}
		say("STAND-IN: loaded module %s", name)
		if name == "zfs" { // The stand-in for this module is another file system, which makes no such device.
			must(os.WriteFile("/dev/zfs", nil, 0o600))
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
