package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"
)

// label is that of the volume on which Talos for metal looks for its machine configuration, and file its name there.
const (
	label = "metal-iso"
	file  = "config.yaml"
)

// configuration is what of a machine configuration counts here.
type configuration struct {
	modules      []string
	sysctls      map[string]string
	timeDisabled bool
	// services have a configuration of their own.
	services    []string
	environment map[string][]string
}

// findConfiguration returns the node's configuration, or none where the kernel's command line names none.
func findConfiguration(arguments map[string]string) (*configuration, error) {
	if given, ok := arguments["lab.config"]; ok {
		if given == "none" {
			return nil, nil
		}
		return givenConfiguration(given, arguments), nil
	}
	switch source := arguments["talos.config"]; source {
	case "", "none":
		return nil, nil
	case label:
		content, err := readVolume()
		if err != nil {
			return nil, fmt.Errorf("error acquiring via platform metal: %w", err)
		}
		return parseConfiguration(content)
	default:
		return nil, fmt.Errorf("STAND-IN: the lab's init reads talos.config=%s only, not %s", label, source)
	}
}

// givenConfiguration is what the command line says: services that have a configuration, and modules to load.
func givenConfiguration(services string, arguments map[string]string) *configuration {
	found := &configuration{services: strings.Split(services, ",")}
	for _, file := range list(filepath.Join("/usr/lib/modules", release(), "extras/*.ko")) {
		found.modules = append(found.modules, strings.TrimSuffix(filepath.Base(file), ".ko"))
	}
	if given, ok := arguments["lab.modules"]; ok {
		found.modules = strings.Split(given, ",")
	}
	return found
}

// parseConfiguration reads the documents of a machine configuration; one without the machine's type is refused.
func parseConfiguration(content []byte) (*configuration, error) {
	found := &configuration{sysctls: map[string]string{}, environment: map[string][]string{}}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	typed := false
	for {
		var document struct {
			Kind        string
			Name        string
			Environment []string
			Machine     struct {
				Type    string
				Sysctls map[string]string
				Time    struct{ Disabled bool }
				Kernel  struct{ Modules []struct{ Name string } }
			}
		}
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("failed to load config via platform metal: %w", err)
		}
		switch document.Kind {
		case "":
			typed = typed || document.Machine.Type != ""
			found.timeDisabled = document.Machine.Time.Disabled
			for name, value := range document.Machine.Sysctls {
				found.sysctls[name] = value
			}
			for _, one := range document.Machine.Kernel.Modules {
				found.modules = append(found.modules, one.Name)
			}
		case "ExtensionServiceConfig":
			found.services = append(found.services, document.Name)
			found.environment[document.Name] = document.Environment
		}
	}
	if !typed {
		return nil, errors.New(`failed to validate config acquired via platform metal: unknown machine type ""`)
	}
	return found, nil
}

// readVolume returns the configuration from the volume with the label: Debian's kernel has what that needs as modules.
func readVolume() ([]byte, error) {
	for _, name := range []string{"virtio_pci", "virtio_blk", "isofs"} {
		if err := loadModule(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	for range 50 { // Devices appear some time after their drivers.
		for _, device := range list("/sys/class/block/*") {
			path := filepath.Join("/dev", filepath.Base(device))
			if volumeLabel(path) != label {
				continue
			}
			return readFile(path)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, fmt.Errorf("failed to find volume with machine configuration %q: %w", label, fs.ErrNotExist)
}

// volumeLabel reads the label of an ISO 9660 file system; it is empty for everything else.
func volumeLabel(path string) string {
	device, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer device.Close()
	head := make([]byte, 72)
	if _, err := device.ReadAt(head, 16*2048); err != nil || string(head[1:6]) != "CD001" {
		return ""
	}
	return strings.TrimRight(string(head[40:72]), " ")
}

func readFile(device string) ([]byte, error) {
	const folder = "/run/config"
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	if err := syscall.Mount(device, folder, "iso9660", syscall.MS_RDONLY, ""); err != nil {
		return nil, fmt.Errorf("failed to mount volume: %w", err)
	}
	defer func() { _ = syscall.Unmount(folder, 0) }()
	content, err := os.ReadFile(filepath.Join(folder, file))
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	say(`read machine config from volume: %s (filesystem "iso9660", UUID "", size %d B)`, device, len(content))
	return content, nil
}
