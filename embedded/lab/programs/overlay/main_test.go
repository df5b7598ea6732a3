package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestBoardNamesItsConsole(t *testing.T) {
	var out strings.Builder
	if err := run([]string{"get-options"}, strings.NewReader("{}\n"), &out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "- console=ttyAMA0,115200\n") || !strings.Contains(got, "name: rpi_generic\n") {
		t.Errorf("got %q", got)
	}
}

func TestInstallPutsFirmwareAndSettingsIntoTheEfiPartition(t *testing.T) {
	artifacts, target := t.TempDir(), t.TempDir()
	put(t, artifacts+"/arm64/firmware/boot/start4.elf", "firmware")
	put(t, artifacts+"/arm64/firmware/boot/overlays/a.dtbo", "overlay")
	put(t, artifacts+"/arm64/u-boot/rpi_generic/u-boot.bin", "u-boot")
	given := "artifactsPath: " + artifacts + "\nmountPrefix: " + target + "\nextraOptions:\n  configTxtAppend: |\n    dtparam=x\n    y=1\n"
	if err := run([]string{"install"}, strings.NewReader(given), nil); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"start4.elf": "firmware", "overlays/a.dtbo": "overlay", "u-boot.bin": "u-boot", "config.txt": config + "\ndtparam=x\ny=1\n",
	} {
		if got, err := os.ReadFile(filepath.Join(target, "boot/EFI", file)); err != nil || string(got) != want {
			t.Errorf("%s: got %q (%v), want %q", file, got, err, want)
		}
	}
}

func TestMistakesAreErrors(t *testing.T) {
	for command, given := range map[string]string{
		"nonsense": "{}", "install": "artifactsPath: /not/there\nmountPrefix: /not/there", "get-options": "configTxt: [1]",
	} {
		if err := run([]string{command}, strings.NewReader(given), &strings.Builder{}); err == nil {
			t.Errorf("%s took %q", command, given)
		}
	}
	if err := run(nil, nil, nil); err == nil {
		t.Error("no command is no error")
	}
}
