package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestLayersAreReadInOrderWithUnquotedVersions(t *testing.T) {
	text := `layers:
    - image: 0.sqsh
      metadata:
        name: spin
        version: v0.25.1
        author: cozystack-talos lab
        description: |
            [extra] STAND-IN: a program
        compatibility:
            talos:
                version: '>= v1.0.0'
    - image: modules.dep.sqsh
      metadata:
        name: modules.dep
        version: "20260622"
`
	want := []layer{{"0.sqsh", "spin", "v0.25.1"}, {"modules.dep.sqsh", "modules.dep", "20260622"}}
	if got := parseLayers(text); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMissingModuleIsNotThere(t *testing.T) {
	if err := loadModule("no-such-module"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

// In the forms of Talos's own extensions: list items at the key's depth or deeper, a comment between.
const (
	waitsForConfiguration = `name: tailscale
depends:
  - service: cri
  - network:
    - addresses
  - configuration: true
container:
  entrypoint: /usr/local/bin/containerboot
restart: always
`
	waitsForPaths = `name: "zfs-service"
depends:
- service: udevd
# the module makes it
- path: /dev/zfs
- path: "/etc/other"
container:
  mounts:
  - path: /not/a/dependency
`
)

func TestServicesSayWhatTheyWaitFor(t *testing.T) {
	for text, want := range map[string]service{
		waitsForConfiguration: {
			name: "tailscale", services: []string{"cri"}, depends: []dependency{{"network", ""}, {"configuration", "true"}},
		},
		waitsForPaths: {
			name: "zfs-service", services: []string{"udevd"}, depends: []dependency{{"path", "/dev/zfs"}, {"path", "/etc/other"}},
		},
		"name: plain\n": {name: "plain"},
	} {
		if got := parseService(text); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestServiceWaitsForWhatIsNotThere(t *testing.T) {
	there := filepath.Join(t.TempDir(), "there")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	one := &service{
		name: "tailscale", services: []string{"cri"},
		depends: []dependency{{"path", there}, {"path", "/not/there"}, {"network", ""}, {"time", "true"}, {"configuration", "true"}},
	}
	other := &configuration{services: []string{"other"}}
	own := &configuration{services: []string{"other", "tailscale"}, timeDisabled: true}
	for _, step := range []struct {
		node *node
		want []string
	}{
		{&node{up: map[string]bool{}}, []string{
			`service "containerd" to be "up"`, `service "cri" to be "up"`, `file "/not/there" to exist`, "network", "time sync",
			"extension service config",
		}},
		{&node{up: map[string]bool{"containerd": true}, registered: true, configuration: other}, []string{
			`service "cri" to be registered`, `file "/not/there" to exist`, "network", "time sync", "extension service config",
		}},
		{&node{up: map[string]bool{"containerd": true, "cri": true, "network": true}, configuration: own}, []string{
			`file "/not/there" to exist`,
		}},
	} {
		if got := step.node.unmet(one); !reflect.DeepEqual(got, step.want) {
			t.Errorf("got %q, want %q", got, step.want)
		}
	}
}

func TestMissingArgumentsAreAllNamed(t *testing.T) {
	for want, given := range map[string]map[string]string{
		"2 errors occurred:\n * KSPP kernel parameter slab_nomerge is required\n * KSPP kernel parameter pti is required\n": {},
		"1 error occurred:\n * KSPP kernel parameter pti was found with value off, expected on\n": {
			"slab_nomerge": "", "pti": "off",
		},
	} {
		if err := missingArguments(given); err == nil || err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
	if err := missingArguments(map[string]string{"slab_nomerge": "", "pti": "on"}); err != nil {
		t.Error(err)
	}
}

const config = `version: v1alpha1
machine:
  type: worker
  sysctls: {net.ipv6.conf.all.forwarding: "1"}
  time:
    disabled: true
  kernel:
    modules:
      - name: drbd
        parameters: [usermode_helper=disabled]
      - name: zfs
cluster: {}
---
apiVersion: v1alpha1
kind: ExtensionServiceConfig
name: tailscale
environment:
  - TS_ROUTES=10.0.0.0/8,fd00::/64
`

func TestConfigurationIsReadAndAPatchIsRefused(t *testing.T) {
	got, err := parseConfiguration([]byte(config))
	want := &configuration{
		modules: []string{"drbd", "zfs"}, sysctls: map[string]string{forwarding: "1"}, timeDisabled: true,
		services: []string{"tailscale"}, environment: map[string][]string{"tailscale": {"TS_ROUTES=10.0.0.0/8,fd00::/64"}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v %v, want %+v", got, err, want)
	}
	for _, text := range []string{"machine:\n  kernel:\n    modules: []\n", "machine: [", ""} {
		if _, err := parseConfiguration([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestRouterThatDoesNotForwardIPv6Crashes(t *testing.T) {
	router := &service{name: "tailscale"}
	got, err := parseConfiguration([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	if router.crashes(got) {
		t.Error("it forwards")
	}
	got.sysctls = nil
	if !router.crashes(got) {
		t.Error("it does not forward")
	}
	got.environment = map[string][]string{"tailscale": {"TS_ROUTES=10.0.0.0/8"}}
	if router.crashes(got) || router.crashes(nil) {
		t.Error("it routes no IPv6")
	}
}

func TestVolumeLabelIsThatOfAnISO(t *testing.T) {
	file := filepath.Join(t.TempDir(), "iso")
	content := make([]byte, 17*2048)
	copy(content[16*2048:], "\x01CD001\x01\x00")
	copy(content[16*2048+40:], "metal-iso                       ")
	for want, bytes := range map[string][]byte{"metal-iso": content, "": content[:2048]} {
		if err := os.WriteFile(file, bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := volumeLabel(file); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// run goes through a node's boot with two services, and returns its console without what comes before each message.
func run(t *testing.T, arguments map[string]string, found *configuration) []string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{"a.yaml": waitsForConfiguration, "b.yaml": "name: plain\ncontainer: {}\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before, output, was := serviceFiles, console, stage
	file, err := os.Create(filepath.Join(folder, "console"))
	if err != nil {
		t.Fatal(err)
	}
	serviceFiles, console, stage = filepath.Join(folder, "*.yaml"), file, "[talos]"
	defer func() { serviceFiles, console, stage = before, output, was }()
	one := &node{arguments: arguments, up: map[string]bool{}}
	if one.initialize() {
		if found != nil {
			one.configuration = found
		}
		one.boot()
	}
	content, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	if to := os.Getenv("CONSOLES"); to != "" {
		_ = os.WriteFile(filepath.Join(to, filepath.Base(t.Name())), content, 0o600)
	}
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
		lines = append(lines, strings.TrimPrefix(line, "[talos] "))
	}
	return lines
}

func TestNodeGoesAsFarAsTalosDoes(t *testing.T) {
	required := map[string]string{"slab_nomerge": "", "pti": "on"}
	with := func(name, value string) map[string]string {
		arguments := map[string]string{name: value}
		for key, other := range required {
			arguments[key] = other
		}
		return arguments
	}
	plain := "service[ext-plain](Running): STAND-IN: its container would run now"
	waits := `service[ext-tailscale](Waiting): Waiting for service "cri" to be registered, extension service config`
	ready := `machine is running and ready {"component": "controller-runtime", "controller": "runtime.MachineStatusController"}`
	routes := map[string][]string{"tailscale": {"TS_ROUTES=fd00::/64"}}
	for name, one := range map[string]struct {
		arguments map[string]string
		found     *configuration
		last      string
		seen      []string
	}{
		"maintenance": {
			required, nil,
			`entering maintenance service {"component": "controller-runtime", "controller": "config.AcquireController"}`,
			[]string{plain, waits},
		},
		"requirements": {
			map[string]string{"pti": "on"}, nil, "initialize sequence: failed",
			[]string{
				"task enforceKSPPRequirements (1/1): failed: 1 error occurred:", " * KSPP kernel parameter slab_nomerge is required",
				"phase systemRequirements (1/3): failed",
			},
		},
		"waits": {
			with("lab.config", ""), nil, `task startAllServices (1/1): service "ext-tailscale" to be "up"`,
			[]string{plain, waits, "service[ext-tailscale](Waiting): Waiting for extension service config"},
		},
		"ready": {with("lab.config", "tailscale"), nil, ready, []string{"boot sequence: done: 1ms"}},
		"volume": {
			with("lab.config", "tailscale"), nil, "", nil,
		},
		"crashes": {
			with("lab.config", ""), &configuration{services: []string{"tailscale"}, environment: routes},
			"service[ext-tailscale](Running): STAND-IN: its container would run now", nil,
		},
		"unread": {with("talos.config", "http://10.0.2.2/x"), nil, `controller failed {"component": "controller-runtime", ` +
			`"controller": "config.AcquireController", "error": "STAND-IN: the lab's init reads talos.config=metal-iso only, ` +
			`not http://10.0.2.2/x"}`, []string{waits}},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "volume" {
				one.arguments["lab.fail"] = "volume"
			}
			lines := run(t, one.arguments, one.found)
			last := lines[len(lines)-1]
			if name == "volume" {
				var said struct{ Volume, Phase, Error string }
				_, fields, _ := strings.Cut(last, "volume status ")
				if err := json.Unmarshal([]byte(fields), &said); err != nil || said.Phase != "failed -> failed" || said.Volume != "STATE" {
					t.Errorf("got %q: %+v, %v", last, said, err)
				}
				return
			}
			if last != one.last {
				t.Errorf("got %q, want %q", last, one.last)
			}
			for _, line := range one.seen {
				if !slices.Contains(lines, line) {
					t.Errorf("%q is not in\n%s", line, strings.Join(lines, "\n"))
				}
			}
		})
	}
}

func TestWithoutALoggerMessagesHaveTheTime(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "console"))
	if err != nil {
		t.Fatal(err)
	}
	before, output := os.Stdout, console
	os.Stdout, console = file, file
	say("recovered from: early boot failed: x")
	os.Stdout, console = before, output
	content, _ := os.ReadFile(file.Name())
	if !regexp.MustCompile(`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d recovered from: early boot failed: x\n$`).Match(content) {
		t.Errorf("got %q", content)
	}
}
