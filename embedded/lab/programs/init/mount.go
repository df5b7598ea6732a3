package main

import (
	"embed"
	"fmt"
	"os"
	"path"
	"syscall"
	"time"
	"unsafe"
)

// Debian's kernel has loop devices, squashfs and overlayfs as modules, Talos's has them built in. So that the initramfs
// holds what Talos's does and no more, they are carried in this program; their names start with the order to load them in.
//
//go:embed modules
var own embed.FS

func loadOwnModules() error {
	files, err := own.ReadDir("modules")
	if err != nil {
		return err
	}
	for _, file := range files {
		image, err := own.ReadFile(path.Join("modules", file.Name()))
		if err != nil {
			return err
		}
		if path.Ext(file.Name()) != ".ko" {
			continue
		}
		if err := insertImage(file.Name(), image); err != nil {
			return err
		}
	}
	return nil
}

func insertImage(name string, image []byte) error {
	parameters := []byte{0}
	_, _, code := syscall.Syscall(syscall.SYS_INIT_MODULE, uintptr(unsafe.Pointer(&image[0])), uintptr(len(image)),
		uintptr(unsafe.Pointer(&parameters[0])))
	if code != 0 && code != syscall.EEXIST {
		return fmt.Errorf("load %s: %w", name, code)
	}
	return nil
}

const (
	loopSetFD   = 0x4c00
	loopGetFree = 0x4c82
)

// mountSquash mounts a squashfs file read-only through a free loop device.
func mountSquash(file, folder string) error {
	device, err := attach(file)
	if err != nil {
		return fmt.Errorf("attach %s: %w", file, err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount(device, folder, "squashfs", syscall.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount %s: %w", file, err)
	}
	return nil
}

func attach(file string) (string, error) {
	image, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer image.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer control.Close()
	number, _, code := syscall.Syscall(syscall.SYS_IOCTL, control.Fd(), loopGetFree, 0)
	if code != 0 {
		return "", code
	}
	name := fmt.Sprintf("/dev/loop%d", number)
	var device *os.File
	for range 100 { // The node of a new device appears a moment after its number.
		if device, err = os.OpenFile(name, os.O_RDWR, 0); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		return "", err
	}
	defer device.Close()
	if _, _, code := syscall.Syscall(syscall.SYS_IOCTL, device.Fd(), loopSetFD, image.Fd()); code != 0 {
		return "", code
	}
	return name, nil
}
