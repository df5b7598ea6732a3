// Command overlay is a board's installer, as Talos's imager and installer run it: it says what kernel arguments the
// board needs (get-options), and puts the board's boot files where they become the EFI partition (install).
//
// It reads YAML on standard input and answers in YAML on standard output.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// Set by the linker.
var board = "rpi_generic"

type options struct {
	ConfigTxt       string `yaml:"configTxt"`
	ConfigTxtAppend string `yaml:"configTxtAppend"`
}

type installation struct {
	MountPrefix   string  `yaml:"mountPrefix"`
	ArtifactsPath string  `yaml:"artifactsPath"`
	Options       options `yaml:"extraOptions"`
}

// What a board takes of the artifacts, and the console that it has.
var boards = map[string]struct{ console, files string }{
	"rpi_generic": {"ttyAMA0", "arm64/firmware/boot"},
	"rpi_5":       {"ttyAMA10", "rpi_5"},
}

const config = `# STAND-IN: the cozystack-talos lab's settings for a Raspberry Pi that starts U-Boot
arm_64bit=1
enable_uart=1
kernel=u-boot.bin
`

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprint(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string, in io.Reader, out io.Writer) error {
	if len(arguments) == 0 {
		return errors.New("missing command")
	}
	decoder := yaml.NewDecoder(in)
	switch arguments[0] {
	case "get-options":
		var given options
		if err := decoder.Decode(&given); err != nil {
			return err
		}
		return yaml.NewEncoder(out).Encode(map[string]any{
			"name": board,
			"kernelArgs": []string{
				"console=tty0",
				"console=" + boards[board].console + ",115200",
				"sysctl.kernel.kexec_load_disabled=1",
				"talos.dashboard.disabled=1",
			},
		})
	case "install":
		var given installation
		if err := decoder.Decode(&given); err != nil {
			return err
		}
		return install(given)
	}
	return fmt.Errorf("unknown command: %s", arguments[0])
}

func install(given installation) error {
	target := filepath.Join(given.MountPrefix, "boot/EFI")
	if err := copyFolder(filepath.Join(given.ArtifactsPath, boards[board].files), target); err != nil {
		return err
	}
	uboot := filepath.Join(given.ArtifactsPath, "arm64/u-boot/rpi_generic/u-boot.bin")
	if err := copyFile(uboot, filepath.Join(target, "u-boot.bin")); err != nil {
		return err
	}
	text := config
	if given.Options.ConfigTxt != "" {
		text = given.Options.ConfigTxt
	}
	text += "\n" + given.Options.ConfigTxtAppend
	return os.WriteFile(filepath.Join(target, "config.txt"), []byte(text), 0o644)
}

func copyFolder(source, target string) error {
	return filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(target, inside), 0o755)
		}
		return copyFile(path, filepath.Join(target, inside))
	})
}

func copyFile(source, target string) error {
	content, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	return os.WriteFile(target, content, 0o644)
}
