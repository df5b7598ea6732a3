package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
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
		waitsForConfiguration: {name: "tailscale", configuration: true},
		waitsForPaths:         {name: "zfs-service", paths: []string{"/dev/zfs", "/etc/other"}},
		"name: plain\n":       {name: "plain"},
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
	one := service{"tailscale", []string{there, "/not/there"}, true}
	want := []string{`file "/not/there" to exist`, "extension service config"}
	if got := one.unmet([]string{"other"}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := one.unmet([]string{"other", "tailscale"}); !reflect.DeepEqual(got, want[:1]) {
		t.Errorf("got %q, want %q", got, want[:1])
	}
}
