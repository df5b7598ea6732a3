// Command init boots the lab's initramfs the way Talos's init does, and then stops: what a node would run is not here.
//
// As /init it loads the modules that it carries, mounts /rootfs.sqsh and, for each layer of /extensions.yaml, its
// N.sqsh; all of them become the lower folders of an overlay, which is the root of what follows. As /sbin/init of that
// root it says what it found there, loads modules, and idles or powers off (kernel argument lab.poweroff).
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

var console = os.Stdout

func say(stage, format string, arguments ...any) {
	fmt.Fprintf(console, "[talos] [%s] %s\n", stage, fmt.Sprintf(format, arguments...))
}

func must(stage string, err error) {
	if err == nil {
		return
	}
	say(stage, "STAND-IN init failed: %v", err)
	time.Sleep(time.Second)
	powerOff()
}

func powerOff() {
	syscall.Sync()
	_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	os.Exit(1)
}

func main() {
	if os.Getpid() != 1 {
		fmt.Println("STAND-IN: this is the init of the cozystack-talos lab's initramfs; it only runs as process 1")
		os.Exit(1)
	}
	if os.Args[0] == "/sbin/init" {
		openConsole()
		machine()
		return
	}
	for _, one := range [][2]string{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/run"}} {
		must("initramfs", os.MkdirAll(one[1], 0o755))
		if err := syscall.Mount(one[0], one[1], one[0], 0, ""); err != nil && err != syscall.EBUSY {
			must("initramfs", fmt.Errorf("mount %s: %w", one[1], err))
		}
	}
	openConsole()
	must("initramfs", initramfs())
}

func openConsole() {
	if file, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0); err == nil {
		console = file
	}
}

func initramfs() error {
	say("initramfs", "STAND-IN: the cozystack-talos lab's init, not Talos")
	if err := loadOwnModules(); err != nil {
		return err
	}
	if err := mountSquash("/rootfs.sqsh", "/layers/rootfs"); err != nil {
		return err
	}
	var lower []string
	if content, err := os.ReadFile("/extensions.yaml"); err == nil {
		for _, one := range parseLayers(string(content)) {
			say("initramfs", "enabling system extension %s %s", one.name, one.version)
			folder := filepath.Join("/layers", one.image)
			if err := mountSquash(filepath.Join("/", filepath.Base(one.image)), folder); err != nil {
				return err
			}
			lower = append([]string{folder}, lower...)
		}
	}
	if err := os.MkdirAll("/root", 0o755); err != nil {
		return err
	}
	options := "lowerdir=" + strings.Join(append(lower, "/layers/rootfs"), ":")
	if len(lower) == 0 {
		if err := syscall.Mount("/layers/rootfs", "/root", "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind root: %w", err)
		}
	} else if err := syscall.Mount("overlay", "/root", "overlay", syscall.MS_RDONLY, options); err != nil {
		return fmt.Errorf("mount overlay (%s): %w", options, err)
	}
	if info, err := os.Stat("/usr/lib/firmware"); err == nil && info.IsDir() {
		if err := syscall.Mount("/usr/lib/firmware", "/root/usr/lib/firmware", "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind firmware: %w", err)
		}
	}
	return enter("/root")
}

// enter makes a folder the root of everything and runs its /sbin/init.
func enter(root string) error {
	for _, folder := range []string{"/dev", "/proc", "/sys", "/run"} {
		if err := syscall.Mount(folder, root+folder, "", syscall.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", folder, err)
		}
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := syscall.Mount(root, "/", "", syscall.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move root: %w", err)
	}
	if err := syscall.Chroot("."); err != nil {
		return err
	}
	return syscall.Exec("/sbin/init", []string{"/sbin/init"}, nil)
}

type layer struct{ image, name, version string }

// parseLayers reads the layers of an extensions.yaml as Talos's imager writes it: one `key: value` a line.
func parseLayers(text string) []layer {
	var layers []layer
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		name, value, found := strings.Cut(strings.TrimPrefix(line, "- "), ":")
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		switch {
		case !found:
		case strings.HasPrefix(line, "- image:"):
			layers = append(layers, layer{image: value})
		case len(layers) == 0:
		case name == "name" && layers[len(layers)-1].name == "":
			layers[len(layers)-1].name = value
		case name == "version" && layers[len(layers)-1].version == "":
			layers[len(layers)-1].version = value
		}
	}
	return layers
}
