package main

import (
	"errors"
	"io/fs"
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
