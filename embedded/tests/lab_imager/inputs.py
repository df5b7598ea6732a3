"""Inputs of the goldens' shape: a kernel, a base initramfs, six extensions, an installer base, and the bad ones."""

from __future__ import annotations

import gzip
import os
import random
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedded.tests.lab_imager.tars import File, kernel_module, oci_layout, tar_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The recorded runs had Debian bookworm's kernel.
KERNEL_RELEASE = "6.1.0-50-arm64"
MODULES = f"rootfs/usr/lib/modules/{KERNEL_RELEASE}"
MIB = 1 << 20
SIX_EXTENSIONS = ["spin", "drbd", "zfs", "bnx2-bnx2x", "intel-ice-firmware", "qlogic-firmware"]


@dataclass(frozen=True)
class Inputs:
    """Where things lie: the folders that stand for `/usr/install` and LAB."""

    install: Path
    lab: Path


def noise(size: int, seed: int) -> bytes:
    """Returns bytes that no compressor shrinks, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def build_inputs(lab: Path, *, boot_files: dict[str, Path], tool: Callable[..., str]) -> Inputs:
    """Writes everything below a folder.

    `boot_files` are systemd's stub and boot loader by their name there; `tool` runs a program of the Debian root, which
    has the folder at /LAB.
    """
    install = lab / "usr-install"
    arm64 = install / "arm64"
    for name, source in boot_files.items():
        (install / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, install / name)
    (arm64 / "vmlinuz").write_bytes(kernel_image())
    _base_initramfs(lab / "base", tool)
    for name, files in _extensions().items():
        oci_layout(lab / "oci" / name, [tar_bytes(files)])
    write_bad_inputs(lab)
    return Inputs(install, lab)


def kernel_image() -> bytes:
    """Returns what starts like the recorded arm64 kernel and is as large, by class."""
    head = bytearray(bytes.fromhex("4d5a40fa63a359140000000000000000").ljust(64, b"\0"))
    head[56:60] = b"ARMd"
    return bytes(head) + noise(20 * MIB, 1)


def _base_initramfs(scratch: Path, tool: Callable[..., str]) -> None:
    modules = scratch / "root/usr/lib/modules" / KERNEL_RELEASE
    (modules / "kernel/lib").mkdir(parents=True)
    (modules / "kernel/lib/base.ko").write_bytes(kernel_module(exports="lab_base_symbol"))
    (modules / "modules.order").write_text("kernel/lib/base.ko\n")
    (modules / "modules.builtin").write_text("kernel/lib/builtin.ko\n")
    (modules / "modules.builtin.modinfo").write_bytes(
        b"builtin.license=GPL\0builtin.lab=" + noise(200_000, 2).hex().encode()
    )
    (scratch / "root/blob").write_bytes(noise(36 * MIB, 3))
    init = scratch / "init"
    init.write_bytes(noise(34 * MIB, 4))
    init.chmod(0o755)
    options = ["-noappend", "-all-root", "-no-progress", "-quiet", "-comp", "zstd"]
    tool("mksquashfs", "/LAB/base/root", "/LAB/base/rootfs.sqsh", *options)
    os.link(scratch / "rootfs.sqsh", scratch / "hard-link")  # The recorded base's rootfs.sqsh had two names.
    pack = (
        "cd /LAB/base && printf 'init\\nrootfs.sqsh\\n' | "
        "cpio -H newc --create --reproducible --quiet -R +0:+0 | zstd -1 -c -q > /LAB/usr-install/arm64/initramfs.xz"
    )
    tool("sh", "-c", pack)


def manifest(name: str, *, version: str = "1", author: str = "me", description: str = "d", talos: str = "") -> File:
    """Returns an extension's manifest."""
    text = f'version: v1alpha1\nmetadata:\n  name: {name}\n  version: "{version}"\n  author: {author}\n'
    text += f'  description: |\n    {description}\n  compatibility:\n    talos:\n      version: "{talos}"\n'
    return File("manifest.yaml", text.encode())


def _extensions() -> dict[str, list[File]]:
    firmware = "rootfs/usr/lib/firmware"
    contrib, core, extra = (
        "[contrib] This system extension",
        "[core] This system extension",
        "[extra] This system extension",
    )
    return {
        "spin": [
            manifest(
                "spin",
                version="v0.21.0",
                author="Sven Pfennig",
                description=f"{contrib} provides support for spin runtime (WebAssembly) containers.",
                talos=">= v1.0.0",
            ),
            File("rootfs/usr/local/bin/containerd-shim-spin-v2", noise(20 * MIB, 10), mode=0o755),
            File("rootfs/etc/cri/conf.d/10-spin.part", b"# runtime\n"),
        ],
        "drbd": _drbd(),
        "zfs": [
            manifest(
                "zfs",
                version="2.3.3-v1.11.3",
                author="Aenix, Enix",
                description=f"{contrib} provides the ZFS kernel module, the ZFS utilities, and a service to import "
                "all ZFS pools on start and unmount all pools on stop.",
                talos=">= v1.6.0",
            ),
            File(f"{MODULES}/extras/zfs.ko", kernel_module(imports="lab_base_symbol", padding=noise(2 * MIB, 12))),
            File("rootfs/usr/local/sbin/zpool", noise(100_000, 13), mode=0o755),
        ],
        "bnx2-bnx2x": [
            manifest(
                "bnx2-bnx2x",
                version="20250808",
                author="Sidero Labs",
                description="[core]This system extension provides bnx2 and bnx2x binaries.",
                talos=">= v1.0.0",
            ),
            File(f"{firmware}/bnx2x/bnx2x-e2-7.13.21.0.fw", noise(2 * MIB, 14)),
        ],
        "intel-ice-firmware": [
            manifest(
                "intel-ice-firmware",
                version="20250808",
                author="Sidero Labs",
                description=f"{core} provides Intel Ice firmware binaries.",
                talos=">= v1.0.0",
            ),
            File(f"{firmware}/intel/ice/ddp/ice-1.3.41.0.pkg", noise(2 * MIB, 15)),
        ],
        "qlogic-firmware": [
            manifest(
                "qlogic-firmware",
                version="20250808",
                author="Sidero Labs",
                description=f"{extra} provides firmware for QLogic devices.",
                talos=">= v1.0.0",
            ),
            File(f"{firmware}/qed/qed_init_values_zipped-8.59.1.0.bin", noise(2 * MIB, 16)),
        ],
    }


def _drbd() -> list[File]:
    return [
        manifest(
            "drbd",
            version="9.2.14-v1.11.3",
            author="Alexander Prentki",
            description="[core] This system extension provides kernel module driver for DRBD built against a specific "
            "Talos version.",
            talos=">= v1.2.0",
        ),
        File(f"{MODULES}/extras/drbd.ko", kernel_module(exports="drbd_symbol", padding=noise(200_000, 11))),
        File(f"{MODULES}/extras/drbd_transport_tcp.ko", kernel_module(imports="drbd_symbol")),
    ]


def installer_base_files() -> list[File]:
    """Returns the only layer of a recorded installer base."""
    return [
        File("usr/bin/imager", link="installer"),
        File("usr/bin/installer", noise(20 * MIB, 20), mode=0o755),
        File("bin", link="usr/bin"),
    ]


def installer_config(version: str) -> dict[str, object]:
    """Returns the runtime configuration of a recorded installer base."""
    return {
        "Entrypoint": ["/bin/installer"],
        "Env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TARGETARCH=arm64",
            f"VERSION={version}",
        ],
        "Labels": {
            "alpha.talos.dev/version": version,
            "org.opencontainers.image.source": "https://github.com/siderolabs/talos",
        },
        "WorkingDir": "/",
    }


def write_bad_inputs(lab: Path) -> None:
    """Writes the tars and layouts of the recorded errors, and what was accepted silently."""
    tars = lab / "tar"
    tars.mkdir(parents=True)
    fine = File("rootfs/usr/local/share/x", b"x")
    other_kernel = File("rootfs/usr/lib/modules/1.0.0-other/extras/x.ko", kernel_module())
    cases: dict[str, list[File]] = {
        "e-ok": [manifest("e-ok"), fine],
        "e-path": [manifest("e-path"), File("rootfs/opt/x", b"x")],
        "e-ww": [manifest("e-ww"), File("rootfs/usr/local/share/x", b"x", mode=0o666)],
        "e-constraint": [manifest("e-constraint", talos=">= v99.0.0"), fine],
        "e-badconstraint": [manifest("e-badconstraint", talos="foo"), fine],
        "e-manver": [File("manifest.yaml", b"version: v1beta1\nmetadata:\n  name: e-manver\n"), fine],
        "e-nomanifest": [fine],
        "e-norootfs": [manifest("e-norootfs")],
        "e-extra": [manifest("e-extra"), File("README", b"x"), fine],
        "e-unkfield": [
            File("manifest.yaml", b'version: v1alpha1\nbogus: 1\nmetadata:\n  name: unk\n  version: "1"\n  more: 2\n'),
            fine,
        ],
        "e-empty": [],
        "e-kv": [manifest("e-kv"), other_kernel],
        "spin": [manifest("spin"), fine],
    }
    for name, files in cases.items():
        (tars / f"{name}.tar").write_bytes(tar_bytes(files))
    (tars / "e-gz.tar").write_bytes(gzip.compress(tar_bytes([manifest("e-gz"), fine]), mtime=0))
    drbd = tar_bytes(_drbd())
    oci = lab / "oci"
    oci_layout(oci / "v-amd64", [drbd], platform="amd64")
    oci_layout(oci / "v-noplatform", [drbd], platform=None)
    oci_layout(oci / "v-nested", [drbd], nested=True)
    oci_layout(oci / "v-lie", [drbd])
    (lab / "oci-empty").mkdir()
    base, second, third = (
        tar_bytes(installer_base_files()),
        tar_bytes([File("second", b"2")]),
        tar_bytes([File("3", b"3")]),
    )
    for version in ("v1.11.3", "v1.13.6"):
        oci_layout(oci / f"installer-base-{version}", [base], config=installer_config(version))
    oci_layout(oci / "v-inst2", [base, second])
    oci_layout(oci / "v-inst3", [base, second, third])
