"""The lab's imager, init, kernel and extensions together, in a virtual machine where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import Registry

QEMU = shutil.which("qemu-system-x86_64")
EXTENSIONS = {
    "spin": "v0.25.1",
    "drbd": "9.3.2-v1.13.6",
    "zfs": "2.4.3-v1.13.6",
    "bnx2-bnx2x": "20260622",
}
PROFILE = """\
arch: amd64
platform: metal
secureboot: false
version: v1.13.6
input:
  kernel: {path: /usr/install/amd64/vmlinuz}
  initramfs: {path: /usr/install/amd64/initramfs.xz}
  systemExtensions:
"""


@pytest.fixture(scope="module")
def initramfs(registry: Registry, imager_root: Path) -> Path:
    """An initramfs with extensions, made by the lab's imager from the lab's images."""
    (imager_root / "in").mkdir()
    profile = PROFILE
    for name, version in EXTENSIONS.items():
        image = f"{registry.address}/ghcr.io/siderolabs/{name}:{version}"
        registry.crane("export", "--platform", "linux/amd64", image, str(imager_root / "in" / f"{name}.tar"))
        profile += f"    - tarballPath: /in/{name}.tar\n"
    profile += "output: {kind: initramfs, imageOptions: {}, outFormat: raw}\n"
    command = ["chroot", imager_root, "/usr/bin/imager", "-"]
    done = subprocess.run(command, input=profile, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return imager_root / "out/initramfs-metal-amd64.xz"


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.skipif(not QEMU, reason="this machine has no qemu-system-x86_64")
def test_machine_boots_enables_its_extensions_and_loads_their_modules(imager_root: Path, initramfs: Path) -> None:
    assert QEMU
    machine = ["-accel", "tcg", "-cpu", "max", "-m", "1536", "-nographic", "-no-reboot", "-net", "none"]
    boot = ["-kernel", imager_root / "usr/install/amd64/vmlinuz", "-initrd", initramfs]
    arguments = ["-append", "console=ttyS0 loglevel=7 lab.poweroff module.sig_enforce=1"]
    done = subprocess.run(
        [QEMU, *machine, *boot, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=600, check=False
    )
    said = re.findall(r"\[talos] (.*?)\r?$", done.stdout.decode(errors="replace"), re.MULTILINE)
    enabled = [line.removeprefix("[initramfs] ") for line in said if "enabling" in line]
    assert enabled[:-1] == [f"enabling system extension {name} {version}" for name, version in EXTENSIONS.items()]
    assert re.fullmatch(r"enabling system extension modules\.dep 6\.12\.\S+-amd64", enabled[-1])
    machine_said = [line.removeprefix("[machine] ") for line in said if line.startswith("[machine] ")]
    assert machine_said[1:] == [
        "service zfs-service",
        "containerd configuration 10-spin.part",
        "loaded module drbd",
        "loaded module zfs",
        "STAND-IN: machine is running and ready",
    ]
