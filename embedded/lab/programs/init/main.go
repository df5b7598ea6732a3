// Command init boots the lab's initramfs the way Talos's init does, and then stops: what a node would run is not here.
//
// As /init it loads the modules that it carries, mounts /rootfs.sqsh and, for each layer of /extensions.yaml, its
// N.sqsh; all of them become the lower folders of an overlay, which is the root of what follows. As /sbin/init of that
// root it does with kernel modules and extension services what a node does, and idles or powers off. What it says has the
// words of Talos's console, after the same prefixes; what Talos would not say begins with STAND-IN.
//
// Its machine configuration is config.yaml on a volume labelled metal-iso where the kernel's argument is
// talos.config=metal-iso; without the argument the node stays in maintenance. The lab's own arguments: lab.poweroff ends
// the machine instead of idling; lab.config=NAME,… gives the node a configuration that is not read anywhere and names the
// extension services that have one too (lab.config= names none, lab.config=none is maintenance), and lab.modules=NAME,…
// are the kernel modules that it asks for, by default those of extensions (below extras/); lab.fail=volume makes the
// STATE volume fail, lab.fail=init init itself before it has a logger.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

var console = os.Stdout

// stage is the prefix of what is said: that of Talos's init, later that of machined.
var stage = "[talos] [initramfs]"

// say prints a message as Talos's logger does: the first line with a prefix, the others without. Before the kernel's log
// can be written to there is no prefix but the time.
func say(format string, arguments ...any) {
	prefix := stage
	if console == os.Stdout {
		prefix = time.Now().UTC().Format("2006/01/02 15:04:05")
	}
	first, more, _ := strings.Cut(fmt.Sprintf(format, arguments...), "\n")
	fmt.Fprintf(console, "%s %s\n", prefix, first)
	for _, line := range strings.Split(more, "\n") {
		if line != "" {
			fmt.Fprintf(console, "%s\n", line)
		}
	}
}

// must ends init as Talos's ends: with what went wrong, and a restart.
func must(err error) {
	if err == nil {
		return
	}
	say("recovered from: early boot failed: %v", err)
	for left := 10; left >= 0; left-- {
		say("rebooting in %d seconds", left)
		time.Sleep(time.Second)
	}
	syscall.Sync()
	_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART)
	os.Exit(1)
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
		stage = "[talos]"
		openConsole()
		machine()
		return
	}
	for _, one := range [][2]string{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/run"}} {
		must(os.MkdirAll(one[1], 0o755))
		if err := syscall.Mount(one[0], one[1], one[0], 0, ""); err != nil && err != syscall.EBUSY {
			must(fmt.Errorf("mount %s: %w", one[1], err))
		}
	}
	if kernelArguments()["lab.fail"] == "init" {
		must(errors.New("STAND-IN: lab.fail=init"))
	}
	openConsole()
	must(initramfs())
}

func openConsole() {
	// Else the kernel drops what is said too quickly; where its command line decides, this does nothing.
	_ = os.WriteFile("/proc/sys/kernel/printk_devkmsg", []byte("on\n"), 0)
	if file, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0); err == nil {
		console = file
	}
}

func initramfs() error {
	say("booting STAND-IN: the cozystack-talos lab's init, not Talos")
	if err := loadOwnModules(); err != nil {
		return err
	}
	if err := mountRoot(); err != nil {
		return err
	}
	if info, err := os.Stat("/usr/lib/firmware"); err == nil && info.IsDir() {
		say("bind mounting /usr/lib/firmware")
		if err := syscall.Mount("/usr/lib/firmware", "/root/usr/lib/firmware", "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind firmware: %w", err)
		}
	}
	say("entering the rootfs")
	return enter("/root")
}

// mountRoot puts the base system and the extensions' layers together at /root; later layers lie above earlier ones.
func mountRoot() error {
	say("mounting the rootfs")
	var layers []layer
	if content, err := os.ReadFile("/extensions.yaml"); err == nil {
		layers = parseLayers(string(content))
	}
	var lower []string
	for i := len(layers) - 1; i >= 0; i-- {
		say("enabling system extension %s %s", layers[i].name, layers[i].version)
		lower = append(lower, filepath.Join("/layers", layers[i].image))
	}
	for _, one := range layers {
		if err := mountSquash(filepath.Join("/", filepath.Base(one.image)), filepath.Join("/layers", one.image)); err != nil {
			return err
		}
	}
	if err := mountSquash("/rootfs.sqsh", "/layers/rootfs"); err != nil {
		return err
	}
	if err := os.MkdirAll("/root", 0o755); err != nil {
		return err
	}
	if len(lower) == 0 {
		if err := syscall.Mount("/layers/rootfs", "/root", "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind root: %w", err)
		}
		return nil
	}
	options := "lowerdir=" + strings.Join(append(lower, "/layers/rootfs"), ":")
	if err := syscall.Mount("overlay", "/root", "overlay", syscall.MS_RDONLY, options); err != nil {
		return fmt.Errorf("mount overlay (%s): %w", options, err)
	}
	return nil
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
