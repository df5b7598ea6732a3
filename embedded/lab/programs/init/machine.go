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

// machine is what a node would do once its root is there: start the services of extensions, look for a machine
// configuration, and with one load the modules that it names and go on as far as those services. What it prints, and in
// which order, is what machined prints (internal/app/machined/pkg/runtime/v1alpha1, pkg/system).
func machine() {
	say("machined logger initialized")
	say("STAND-IN: root is up, kernel %s", release())
	for _, file := range list("/etc/cri/conf.d/*.part") {
		say("STAND-IN: containerd configuration %s", filepath.Base(file))
	}
	one := &node{arguments: kernelArguments(), up: map[string]bool{}}
	if one.initialize() {
		_ = sequence("install")
		one.boot()
	}
	if _, ok := one.arguments["lab.poweroff"]; ok {
		powerOff()
	}
	one.idle()
}

// controller is how Talos marks the lines of its controllers.
func controller(name string, more string) string {
	return fmt.Sprintf(`{"component": "controller-runtime", "controller": "%s"%s}`, name, more)
}

// node is what there is of a node: its configuration, if it has one, and its services.
type node struct {
	arguments     map[string]string
	configuration *configuration
	services      []*service
	// up holds the services of the base that run, and the network.
	up map[string]bool
	// registered says whether services that do not run are looked for already.
	registered bool
}

type task struct {
	name string
	run  func() error
}

type phase struct {
	name  string
	tasks []task
}

// errStays ends a sequence that neither goes on nor fails.
var errStays = errors.New("stays")

// sequence runs phases one after the other; a task that fails ends it.
func sequence(name string, phases ...phase) error {
	say("%s sequence: %d phase(s)", name, len(phases))
	for i, one := range phases {
		title := fmt.Sprintf("phase %s (%d/%d)", one.name, i+1, len(phases))
		say("%s: %d tasks(s)", title, len(one.tasks))
		for j, each := range one.tasks {
			place := fmt.Sprintf("task %s (%d/%d)", each.name, j+1, len(one.tasks))
			say("%s: starting", place)
			err := each.run()
			if errors.Is(err, errStays) {
				return err
			}
			if err != nil {
				say("%s: failed: %v", place, err)
				say("%s: failed", title)
				say("%s sequence: failed", name)
				return err
			}
			say("%s: done, 1ms", place)
		}
		say("%s: done, 1ms", title)
	}
	say("%s sequence: done: 1ms", name)
	return nil
}

// initialize ends with true when there is a machine configuration.
func (n *node) initialize() bool {
	err := sequence("initialize",
		phase{"systemRequirements", []task{{"enforceKSPPRequirements", func() error {
			n.startExtensions()
			return missingArguments(n.arguments)
		}}}},
		phase{"earlyServices", []task{
			{"startUdevd", func() error { return n.start("udevd") }},
			{"startMachined", func() error { return n.start("machined") }},
			{"startContainerd", func() error { return n.start("containerd") }},
		}},
		phase{"config", []task{{"loadConfig", n.loadConfig}}},
	)
	return err == nil
}

// missingArguments is what Talos refuses to run without (pkg/kernel/kspp).
func missingArguments(arguments map[string]string) error {
	var missing []string
	for _, one := range [][2]string{{"slab_nomerge", ""}, {"pti", "on"}} {
		value, ok := arguments[one[0]]
		switch {
		case !ok:
			missing = append(missing, fmt.Sprintf(" * KSPP kernel parameter %s is required", one[0]))
		case value != one[1]:
			missing = append(missing, fmt.Sprintf(
				" * KSPP kernel parameter %s was found with value %s, expected %s", one[0], value, one[1]))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	word := "errors"
	if len(missing) == 1 {
		word = "error"
	}
	return fmt.Errorf("%d %s occurred:\n%s\n", len(missing), word, strings.Join(missing, "\n"))
}

// loadConfig ends in maintenance where there is no machine configuration.
func (n *node) loadConfig() error {
	say("downloading config %s", controller("config.AcquireController", `, "platform": "metal"`))
	n.up["network"] = true
	found, err := findConfiguration(n.arguments)
	n.updateExtensions()
	if err != nil {
		failure := fmt.Sprintf(`, "error": %q`, err.Error())
		say("controller failed %s", controller("config.AcquireController", failure))
		return errStays
	}
	if found == nil {
		say("entering maintenance service %s", controller("config.AcquireController", ""))
		return errStays
	}
	say("machine config loaded successfully %s", controller("config.AcquireController", `, "sources": ["metal"]`))
	n.configuration = found
	n.updateExtensions()
	return nil
}

// boot starts cri and with it the services of the extensions. The node is ready once they all run.
func (n *node) boot() {
	n.loadModules()
	err := sequence("boot",
		phase{"diskSizeCheck", []task{{"diskSizeCheck", n.checkDisk}}},
		phase{"startEverything", []task{{"startAllServices", n.startAllServices}}},
	)
	if err == nil {
		say("machine is running and ready %s", controller("runtime.MachineStatusController", ""))
	}
}

// checkDisk fails a volume where the command line asks for it, as Talos does one that it can't format.
func (n *node) checkDisk() error {
	if n.arguments["lab.fail"] != "volume" {
		say("task diskSizeCheck (1/1): disk size is OK")
		return nil
	}
	phase := "missing"
	for range 3 {
		say("volume status %s", controller("block.VolumeManagerController", fmt.Sprintf(
			`, "volume": "STATE", "phase": "%s -> failed", "error": "error formatting XFS: exit status 1: `+
				`STAND-IN: lab.fail=volume\n", "location": "/dev/vda5", "parentLocation": "/dev/vda"`, phase)))
		phase = "failed"
		time.Sleep(time.Second)
	}
	return errStays
}

func (n *node) startAllServices() error {
	say("service[cri](Starting): Starting service")
	say("service[cri](Waiting): Waiting for volumes /var/lib, /var/lib/containerd, /opt to be mounted, network")
	say("task startAllServices (1/1): waiting for %d services", len(n.services)+1)
	say("service[cri](Preparing): Running pre state")
	say("service[cri](Preparing): Creating service runner")
	say("service[cri](Running): STAND-IN: its process would run now")
	say("service[cri](Running): Health check successful")
	n.up["cri"] = true
	n.updateExtensions()
	var down []string
	for _, one := range n.services {
		if !one.runs {
			down = append(down, fmt.Sprintf(`service "%s" to be "up"`, one.id()))
		}
	}
	if len(down) > 0 {
		say("task startAllServices (1/1): %s", strings.Join(down, ", "))
		return errStays
	}
	for _, one := range n.services {
		if one.crashes(n.configuration) {
			return errStays
		}
	}
	return nil
}

// start says that a service of the base runs.
func (n *node) start(name string) error {
	say("service[%s](Starting): Starting service", name)
	say("service[%s](Preparing): Running pre state", name)
	say("service[%s](Preparing): Creating service runner", name)
	say("service[%s](Running): STAND-IN: its process would run now", name)
	say("service[%s](Running): Health check successful", name)
	n.up[name] = true
	n.updateExtensions()
	return nil
}

// idle goes on as machined does when it has nothing more to do: services that crash are started again and again.
func (n *node) idle() {
	for round := 0; ; round++ {
		for _, one := range n.services {
			if one.runs && one.crashes(n.configuration) {
				one.crash()
			}
		}
		var status syscall.WaitStatus
		_, _ = syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		time.Sleep(time.Duration(min(round, 4)+1) * time.Second)
	}
}

// loadModules loads the modules that the machine configuration names.
func (n *node) loadModules() {
	// libcrc32c asks the kernel for this algorithm by name, and there is nobody here to load a module for it.
	_ = loadModule("crc32c_generic")
	for _, name := range n.configuration.modules {
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
