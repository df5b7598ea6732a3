"""The lab's imager, init, kernel and extensions together, in virtual machines."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Registry
from .machines import Machines, Way, make_machines

pytestmark = [
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="entering another root needs root"),
]

EXTENSIONS = {
    "spin": "v0.25.1",
    "tailscale": "1.98.10",
    "drbd": "9.3.2-v1.13.6",
    "zfs": "2.4.3-v1.13.6",
    "bnx2-bnx2x": "20260622",
}
OUTPUTS = {
    "initramfs": ("initramfs", "", "initramfs-metal-{}.xz"),
    "uki.efi": ("uki", "", "metal-{}-uki.efi"),
    "image.iso": ("iso", "", "metal-{}.iso"),
    "image.raw": ("image", "  imageOptions: {diskSize: 1306525696, diskFormat: raw}\n", "metal-{}.raw"),
}
"""File → output kind, its options, and the name that the imager gives it."""

Imager = Callable[..., Path]


@pytest.fixture(scope="session")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Machines:
    return make_machines(tmp_path_factory.mktemp("machines"))


@pytest.fixture(scope="session")
def imager(registry: Registry, imager_root: Path) -> Imager:
    """Runs the lab's imager on extensions of the lab, for a file of OUTPUTS."""

    def run(architecture: str, file: str, extensions: dict[str, str], initramfs: str = "", arguments: str = "") -> Path:
        kind, options, name = OUTPUTS[file]
        given = imager_root / "in" / architecture
        given.mkdir(parents=True, exist_ok=True)
        profile = f"arch: {architecture}\nplatform: metal\nsecureboot: false\nversion: v1.13.6\n"
        profile += f"customization: {{extraKernelArgs: [{arguments}]}}\ninput:\n"
        profile += f"  initramfs: {{path: {initramfs or f'/usr/install/{architecture}/initramfs.xz'}}}\n"
        profile += "  systemExtensions:\n" if extensions else ""
        for extension, version in extensions.items():
            image = f"{registry.address}/ghcr.io/siderolabs/{extension}:{version}"
            tar = given / f"{extension}.tar"
            registry.crane("export", "--platform", f"linux/{architecture}", image, str(tar))
            profile += f"    - tarballPath: /{tar.relative_to(imager_root)}\n"
        profile += f"output:\n  kind: {kind}\n{options}  outFormat: raw\n"
        command = ["chroot", imager_root, "/usr/bin/imager", "-"]
        done = subprocess.run(command, input=profile, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return imager_root / "out" / name.format(architecture)

    return run


@pytest.fixture(scope="session", params=["arm64", "amd64"])
def assets(
    request: pytest.FixtureRequest, imager: Imager, imager_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """An architecture and a folder with all that boots, each from the same initramfs."""
    architecture: str = request.param
    folder = tmp_path_factory.mktemp(f"assets-{architecture}")
    initramfs = imager(architecture, "initramfs", EXTENSIONS, "")
    shutil.copyfile(initramfs, folder / "initramfs")
    shutil.copyfile(imager_root / f"usr/install/{architecture}/vmlinuz", folder / "kernel")
    for file in ("uki.efi", "image.iso", "image.raw"):
        made = imager(architecture, file, {}, f"/{initramfs.relative_to(imager_root)}")
        shutil.move(made, folder / file)
    return architecture, folder


def stages(lines: list[str]) -> tuple[list[str], list[str]]:
    """Split what was said into the lines of init and those of the machine."""
    early = [line.removeprefix("[initramfs] ") for line in lines if line.startswith("[initramfs] ")]
    return early, [line for line in lines if not line.startswith("[initramfs] ")]


@pytest.mark.parametrize("way", ["kernel", "uki", "iso", "disk"])
def test_machine_enables_its_extensions_loads_their_modules_and_waits_for_what_is_missing(
    machines: Machines, assets: tuple[str, Path], way: Way
) -> None:
    architecture, folder = assets
    early, late = stages(machines.boot(architecture, way, folder))
    assert early[:2] == ["booting STAND-IN: the cozystack-talos lab's init, not Talos", "mounting the rootfs"]
    assert early[-2:] == ["bind mounting /usr/lib/firmware", "entering the rootfs"]
    # The last layer comes first, as Talos has it: the imager's own, then the extensions backwards.
    assert re.fullmatch(rf"enabling system extension modules\.dep 6\.12\.\S+-{architecture}", early[2])
    assert early[3:-2] == [f"enabling system extension {name} {EXTENSIONS[name]}" for name in reversed(EXTENSIONS)]
    assert re.fullmatch(rf"STAND-IN: root is up, kernel 6\.12\.\S+-{architecture}", late[0])
    assert late[1:] == [
        "STAND-IN: containerd configuration 10-spin.part",
        "STAND-IN: loaded module drbd",
        "STAND-IN: loaded module spl",
        "STAND-IN: loaded module zfs",
        "boot sequence: 1 phase(s)",
        "phase startEverything (1/1): 1 tasks(s)",
        "task startAllServices (1/1): starting",
        "task startAllServices (1/1): waiting for 2 services",
        "service[ext-tailscale](Starting): Starting service",
        "service[ext-tailscale](Waiting): Waiting for extension service config",
        "service[ext-zfs-service](Starting): Starting service",
        "service[ext-zfs-service](Running): STAND-IN: its container would run now",
        'task startAllServices (1/1): service "ext-tailscale" to be "up"',
    ]


def test_disk_of_amd64_boots_by_bios_too(machines: Machines, imager: Imager, tmp_path: Path) -> None:
    made = imager("amd64", "image.raw", {"spin": "v0.25.1"}, arguments="console=ttyS0, lab.poweroff, lab.config=")
    shutil.move(made, tmp_path / "image.raw")
    early, late = stages(machines.boot("amd64", "disk-bios", tmp_path))
    assert "enabling system extension spin v0.25.1" in early
    assert late[-1].startswith("machine is running and ready {")


def test_configured_machine_is_running_and_ready(machines: Machines, assets: tuple[str, Path]) -> None:
    architecture, folder = assets
    _, late = stages(machines.boot(architecture, "kernel", folder, arguments="lab.config=tailscale"))
    assert "service[ext-tailscale](Running): STAND-IN: its container would run now" in late
    assert late[-1].startswith("machine is running and ready {")


def test_machine_without_configuration_stays_in_maintenance(machines: Machines, assets: tuple[str, Path]) -> None:
    architecture, folder = assets
    _, late = stages(machines.boot(architecture, "kernel", folder, arguments="lab.config=none"))
    assert late[-1].startswith("entering maintenance service {")
    assert not [line for line in late if "loaded module" in line]


def test_module_that_the_configuration_does_not_name_keeps_its_service_waiting(
    machines: Machines, assets: tuple[str, Path]
) -> None:
    architecture, folder = assets
    _, late = stages(machines.boot(architecture, "kernel", folder, arguments="lab.modules=drbd lab.config=tailscale"))
    assert 'service[ext-zfs-service](Waiting): Waiting for file "/dev/zfs" to exist' in late
    assert late[-1] == 'task startAllServices (1/1): service "ext-zfs-service" to be "up"'


def test_module_of_another_kernel_is_named_with_the_error(
    machines: Machines, imager: Imager, imager_root: Path, tmp_path: Path
) -> None:
    made = imager("arm64", "initramfs", {"broken-foreign-module": "1.0.0"}, "")
    shutil.copyfile(made, tmp_path / "initramfs")
    shutil.copyfile(imager_root / "usr/install/arm64/vmlinuz", tmp_path / "kernel")
    for arguments, error in (("", "exec format error"), ("module.sig_enforce=1", "key was rejected by service")):
        _, late = stages(machines.boot("arm64", "kernel", tmp_path, arguments=arguments))
        (failed,) = (line for line in late if line.startswith("controller failed "))
        assert f'"error": "error loading module \\"foreign\\": load foreign.ko: {error}"' in failed
