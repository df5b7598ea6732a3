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
from .iso9660 import iso9660
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
    assert late[0] == "machined logger initialized"
    assert re.fullmatch(rf"STAND-IN: root is up, kernel 6\.12\.\S+-{architecture}", late[1])
    assert late[2:] == [
        "STAND-IN: containerd configuration 10-spin.part",
        "initialize sequence: 3 phase(s)",
        "phase systemRequirements (1/3): 1 tasks(s)",
        "task enforceKSPPRequirements (1/1): starting",
        "service[ext-tailscale](Starting): Starting service",
        "service[ext-zfs-service](Starting): Starting service",
        TAILSCALE.format('service "containerd" to be "up", service "cri" to be "up", network, '),
        ZFS.format('service "containerd" to be "up", service "udevd" to be "up", service "cri" to be "up", '),
        "task enforceKSPPRequirements (1/1): done, 1ms",
        "phase systemRequirements (1/3): done, 1ms",
        "phase earlyServices (2/3): 3 tasks(s)",
        "task startUdevd (1/3): starting",
        *started("udevd"),
        TAILSCALE.format('service "containerd" to be registered, service "cri" to be registered, network, '),
        ZFS.format('service "containerd" to be registered, service "cri" to be registered, '),
        "task startUdevd (1/3): done, 1ms",
        "task startMachined (2/3): starting",
        *started("machined"),
        "task startMachined (2/3): done, 1ms",
        "task startContainerd (3/3): starting",
        *started("containerd"),
        TAILSCALE.format('service "cri" to be registered, network, '),
        ZFS.format('service "cri" to be registered, '),
        "task startContainerd (3/3): done, 1ms",
        "phase earlyServices (2/3): done, 1ms",
        "phase config (3/3): 1 tasks(s)",
        "task loadConfig (1/1): starting",
        "downloading config " + ACQUIRE.format(', "platform": "metal"'),
        TAILSCALE.format('service "cri" to be registered, '),
        "machine config loaded successfully " + ACQUIRE.format(', "sources": ["metal"]'),
        "task loadConfig (1/1): done, 1ms",
        "phase config (3/3): done, 1ms",
        "initialize sequence: done: 1ms",
        "install sequence: 0 phase(s)",
        "install sequence: done: 1ms",
        "STAND-IN: loaded module drbd",
        "STAND-IN: loaded module spl",
        "STAND-IN: loaded module zfs",
        "boot sequence: 2 phase(s)",
        "phase diskSizeCheck (1/2): 1 tasks(s)",
        "task diskSizeCheck (1/1): starting",
        "task diskSizeCheck (1/1): disk size is OK",
        "task diskSizeCheck (1/1): done, 1ms",
        "phase diskSizeCheck (1/2): done, 1ms",
        "phase startEverything (2/2): 1 tasks(s)",
        "task startAllServices (1/1): starting",
        "service[cri](Starting): Starting service",
        "service[cri](Waiting): Waiting for volumes /var/lib, /var/lib/containerd, /opt to be mounted, network",
        "task startAllServices (1/1): waiting for 3 services",
        *started("cri")[1:],
        TAILSCALE.format(""),
        *running("ext-zfs-service"),
        'task startAllServices (1/1): service "ext-tailscale" to be "up"',
    ]


ACQUIRE = '{{"component": "controller-runtime", "controller": "config.AcquireController"{}}}'
TAILSCALE = "service[ext-tailscale](Waiting): Waiting for {}extension service config"
ZFS = 'service[ext-zfs-service](Waiting): Waiting for {}file "/dev/zfs" to exist'


def started(name: str) -> list[str]:
    """What is said of a service of the base."""
    return [
        f"service[{name}](Starting): Starting service",
        f"service[{name}](Preparing): Running pre state",
        f"service[{name}](Preparing): Creating service runner",
        f"service[{name}](Running): STAND-IN: its process would run now",
        f"service[{name}](Running): Health check successful",
    ]


def running(name: str) -> list[str]:
    """What is said of an extension's service that waits no longer."""
    return [
        f"service[{name}](Preparing): Running pre state",
        f"service[{name}](Preparing): Creating service runner",
        f"service[{name}](Running): STAND-IN: its container would run now",
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


@pytest.mark.parametrize("arguments", ["", "lab.config=none", "talos.config=none"])
def test_machine_without_configuration_stays_in_maintenance(
    machines: Machines, assets: tuple[str, Path], arguments: str
) -> None:
    architecture, folder = assets
    _, late = stages(machines.boot(architecture, "kernel", folder, arguments=arguments))
    assert late[-1].startswith("entering maintenance service {")
    assert not [line for line in late if "loaded module" in line]
    assert [line for line in late if line.startswith("service[ext-")][-2:] == [
        ZFS.format('service "cri" to be registered, '),
        TAILSCALE.format('service "cri" to be registered, '),
    ]


CONFIGURATION = """version: v1alpha1
machine:
  type: worker
  kernel:
    modules: [{name: drbd}, {name: zfs}]
"""
SERVICE = """---
apiVersion: v1alpha1
kind: ExtensionServiceConfig
name: tailscale
environment: [TS_ROUTES=10.244.0.0/16%s]
"""
FORWARDS = '  sysctls: {net.ipv6.conf.all.forwarding: "1"}\n'


def configured(folder: Path, assets: Path, text: str | None) -> Path:
    """A folder with kernel and initramfs, and a drive with a configuration."""
    for name in ("kernel", "initramfs"):
        (folder / name).hardlink_to(assets / name)
    files = {} if text is None else {"CONFIG.YAML": text.encode()}
    (folder / "config.iso").write_bytes(iso9660("metal-iso" if text is not None else "other", files))
    return folder


@pytest.mark.parametrize(
    ("text", "last"),
    [
        (CONFIGURATION + SERVICE % "", "machine is running and ready {"),
        (CONFIGURATION, 'task startAllServices (1/1): service "ext-tailscale" to be "up"'),
        (
            CONFIGURATION + SERVICE % ",fd00:10::/56",
            "service[ext-zfs-service](Running): STAND-IN: its container would run now",
        ),
        (CONFIGURATION + FORWARDS + SERVICE % ",fd00:10::/56", "machine is running and ready {"),
        ("machine: {}\n", "controller failed {"),
        (None, "controller failed {"),
    ],
)
def test_configuration_is_read_from_its_volume(
    machines: Machines, assets: tuple[str, Path], tmp_path: Path, text: str | None, last: str
) -> None:
    architecture, folder = assets
    made = configured(tmp_path, folder, text)
    _, late = stages(machines.boot(architecture, "kernel", made, arguments="talos.config=metal-iso"))
    assert late[-1].startswith(last)
    crashes = [line for line in late if "Error running Containerd(ext-tailscale), going to restart forever: " in line]
    assert bool(crashes) == last.startswith("service[ext-zfs-service](Running)")


def test_arguments_that_talos_requires_are_named_and_end_the_sequence(
    machines: Machines, assets: tuple[str, Path]
) -> None:
    architecture, folder = assets
    _, late = stages(machines.boot(architecture, "kernel", folder, required="pti=off"))
    assert late[-3:] == [
        "task enforceKSPPRequirements (1/1): failed: 2 errors occurred:",
        "phase systemRequirements (1/3): failed",
        "initialize sequence: failed",
    ]
    reasons = re.findall(r" \* (KSPP .*?)\r?$", machines.console(folder, "kernel"), re.MULTILINE)
    assert reasons == [
        "KSPP kernel parameter slab_nomerge is required",
        "KSPP kernel parameter pti was found with value off, expected on",
    ]


def test_volume_that_fails_and_init_that_dies_are_told_in_talos_words(
    machines: Machines, assets: tuple[str, Path]
) -> None:
    architecture, folder = assets
    _, late = stages(machines.boot(architecture, "kernel", folder, arguments="lab.config= lab.fail=volume"))
    assert '"volume": "STATE", "phase": "missing -> failed", "error": "error formatting XFS: ' in late[-3]
    assert '"phase": "failed -> failed"' in late[-1]
    assert machines.boot(architecture, "kernel", folder, arguments="lab.fail=init") == []
    told = machines.console(folder, "kernel")
    assert re.search(r"^\d{4}/\d\d/\d\d [\d:]{8} recovered from: early boot failed: STAND-IN", told, re.MULTILINE)
    assert "rebooting in 0 seconds" in told


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
        _, late = stages(machines.boot("arm64", "kernel", tmp_path, arguments=f"lab.config= {arguments}"))
        (failed,) = (line for line in late if line.startswith("controller failed "))
        assert f'"error": "error loading module \\"foreign\\": load foreign.ko: {error}"' in failed
