"""A folder of good synthetic assets from a description; the ways to break them change the description, or the files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ci.common.kinds import Initramfs
from ci.plan.expectation import Expectation, ExpectedExtension
from ci.plan.model import Plan, PlannedOutput
from ci.plan.outputs import Compression
from ci.report.seal import seal
from tests.unit.inspect import sample_media, samples
from tests.unit.inspect.samples import File

if TYPE_CHECKING:
    from pathlib import Path

    from ci.plan.expectation import Architecture

RELEASE = "6.18.38-talos"

#: Checks that have nothing to look at in these assets: no GRUB, no modules that are named, no board, no signatures.
NOT_HERE = {
    *("signatures.files", "signatures.key"),
    *("menu.version", "modules.planned"),
    *("overlay.files", "overlay.boot-code", "overlay.arguments", "overlay.installer"),
}

#: As the published extension has it.
RUNTIME = """\
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.spin]
  runtime_type = "io.containerd.spin.v2"
"""


@dataclass
class Extension:
    name: str
    version: str
    files: list[File]
    constraint: str = ">= v1.0.0"


@dataclass
class Spec:
    """What assets are made of. Everything of one architecture unless a field says otherwise."""

    arch: Architecture = "arm64"
    talos: str = "v1.13.6"
    variant: str = "spin-only"
    extensions: list[Extension] = field(default_factory=list[Extension])
    kernel: bytes = b""
    initramfs: bytes = b""
    uki_kernel: bytes | None = None
    uki_initramfs: bytes | None = None
    uki: bytes = b""
    loader: bytes = b""
    installer: bytes = b""
    layers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    more_entries: list[File] = field(default_factory=list[File])


def modules(release: str = RELEASE, machine: str = "arm64", vermagic: str | None = None) -> list[File]:
    path = f"usr/lib/modules/{release}/extras/drbd.ko"
    return [File(path, samples.module(machine, vermagic or release))]


def spin(machine: str = "arm64") -> Extension:
    files = [
        File("usr/local/bin/containerd-shim-spin-v2", samples.elf(machine, b"spin" * 2000), 0o755),
        File("etc/cri/conf.d/10-spin.part", RUNTIME.encode()),
    ]
    return Extension("spin", "v0.21.0", files)


def tailscale(machine: str = "arm64") -> Extension:
    files = [
        File("usr/local/etc/containers/tailscale.yaml", b"name: tailscale\n"),
        File("usr/local/lib/containers/tailscale/usr/local/bin/tailscaled", samples.elf(machine), 0o755),
    ]
    return Extension("tailscale", "1.94.1", files, ">= v1.5.0")


def drbd(machine: str = "arm64") -> Extension:
    return Extension("drbd", "9.3.2-v1.13.6", modules(machine=machine), ">= v1.2.0")


def good(variant: str = "spin-only", arch: Architecture = "arm64") -> Spec:
    extensions = [spin(arch), drbd(arch)] + ([tailscale(arch)] if variant == "spin-tailscale" else [])
    return Spec(arch=arch, variant=variant, extensions=extensions)


def layers_of(spec: Spec) -> list[dict[str, Any]]:
    layers = [samples.layer(f"{n}.sqsh", e.name, e.version, e.constraint) for n, e in enumerate(spec.extensions)]
    if any(file.path.endswith(".ko") for e in spec.extensions for file in e.files):
        layers.append(samples.layer("modules.dep.sqsh", "modules.dep", RELEASE, ""))
    return layers


def initramfs_of(spec: Spec, files: list[File] | None = None) -> bytes:
    rootfs = samples.squashfs(
        [
            File("usr/bin/machined", samples.elf(spec.arch), 0o755),
            File(f"usr/lib/modules/{RELEASE}/kernel/net.ko", samples.module(spec.arch)),
            File(f"usr/lib/modules/{RELEASE}/modules.builtin", b"kernel/drivers/block/loop-dev.ko\n"),
            File(f"usr/lib/modules/{RELEASE}/modules.alias", b"alias net-pf-[0-9]* net\nalias * net\n"),
        ]
    )
    base = [File("init", samples.elf(spec.arch), 0o755), File("rootfs.sqsh", rootfs)]
    if files is None:
        files = appended_of(spec)
    return samples.zstd(samples.cpio(base)) + samples.zstd(samples.cpio(files))


def appended_of(spec: Spec) -> list[File]:
    files = [File(f"{n}.sqsh", samples.squashfs(extension.files)) for n, extension in enumerate(spec.extensions)]
    layers = spec.layers or layers_of(spec)
    files.append(File("extensions.yaml", samples.layers_yaml(layers)))
    if any(layer["image"] == "modules.dep.sqsh" for layer in layers):
        index = [File(f"usr/lib/modules/{RELEASE}/modules.dep", b"extras/drbd.ko:\n")]
        files.append(File("modules.dep.sqsh", samples.squashfs(index)))
    firmware = [File("usr/"), File("usr/lib/"), File("usr/lib/firmware/"), File("usr/lib/firmware/qed.bin", b"\x7fELF")]
    return files + firmware + spec.more_entries


def finished(spec: Spec) -> Spec:
    """Fills in what was not given, each from what it is made of."""
    spec = replace(spec)
    spec.kernel = spec.kernel or samples.kernel(RELEASE, spec.arch)
    spec.initramfs = spec.initramfs or initramfs_of(spec)
    spec.uki = spec.uki or samples.uki(
        spec.uki_kernel or spec.kernel, spec.uki_initramfs or spec.initramfs, spec.arch, spec.talos
    )
    spec.loader = spec.loader or samples.boot_loader(spec.arch)
    spec.installer = spec.installer or samples.installer(spec.uki, spec.loader, spec.arch, spec.talos).archive()
    return spec


def files_of(spec: Spec) -> dict[str, bytes]:
    spec = finished(spec)
    arch, boot = spec.arch, {"arm64": "BOOTAA64", "amd64": "BOOTX64"}[spec.arch]
    esp = sample_media.fat(
        [File(f"EFI/boot/{boot}.efi", spec.loader), File(f"EFI/Linux/Talos-{spec.talos}.efi", spec.uki)], 12
    )
    disk = sample_media.gpt([(sample_media.ESP, "EFI", esp), (sample_media.LINUX, "META", bytes(1 << 20))])
    iso = sample_media.iso(
        [File(f"EFI/BOOT/{boot}.EFI", spec.loader), File(f"EFI/Linux/Talos-{spec.talos}.efi", spec.uki)]
    )
    return {
        "boot/vmlinuz": spec.kernel,
        "boot/initramfs.xz": spec.initramfs,
        f"installer/installer-{arch}.tar": spec.installer,
        f"uki/metal-{arch}-uki.efi": spec.uki,
        f"iso/metal-{arch}.iso": iso,
        f"metal/metal-{arch}.raw.zst": samples.zstd(disk),
        f"cmdline/cmdline-metal-{arch}": samples.CMDLINE.encode(),
    }


def expectation_of(spec: Spec) -> Expectation:
    arch = spec.arch
    kinds = {
        "boot/vmlinuz": "kernel",
        "boot/initramfs.xz": "initramfs",
        f"installer/installer-{arch}.tar": "image",
        f"uki/metal-{arch}-uki.efi": "uki",
        f"iso/metal-{arch}.iso": "iso",
        f"metal/metal-{arch}.raw.zst": "disk",
        f"cmdline/cmdline-metal-{arch}": "cmdline",
    }
    return Expectation(
        arch=arch,
        talos=spec.talos,
        variant=spec.variant,
        extensions=tuple(ExpectedExtension(name=e.name, version=e.version) for e in spec.extensions),
        absent=() if any(e.name == "tailscale" for e in spec.extensions) else ("tailscale",),
        kernel_args=("init_on_alloc=1",),
        files=kinds,
        platforms=dict.fromkeys((path for path, kind in kinds.items() if kind not in ("kernel", "initramfs")), "metal"),
        stand_in=False,
    )


def configured(spec: Spec) -> Expectation:
    """The expectation of a variant whose machine configuration loads modules and names a container runtime."""
    modules = ("drbd", "net", "loop_dev", "net-pf-7")
    return expectation_of(spec).model_copy(update={"kernel_modules": modules, "runtime_handlers": ("spin", "runc")})


def write(root: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def plan_of(spec: Spec) -> dict[str, Any]:
    """A plan of these assets, as JSON."""

    def image(name: str, number: int) -> dict[str, str]:
        return {"reference": f"ghcr.io/siderolabs/{name}", "digest": f"sha256:{number:064x}"}

    extensions = [
        {
            "name": e.name,
            "version": e.version,
            **image(f"{e.name}:{e.version}", 10 + number),
            "source": "catalog",
            "reason": f"why {e.name} is there",
        }
        for number, e in enumerate(spec.extensions)
    ]
    return {
        "format": 1,
        "variant": spec.variant,
        "description": "Workers",
        "role": "worker",
        "upstreamLayout": "packages/core/talos",
        "layout": "boot",
        "arch": spec.arch,
        "talosVersion": spec.talos,
        "origin": {"where": "https://example.com/cozystack.git", "release": "v1.6.2", "commit": "c" * 40},
        "sourceDate": {"epoch": 1700000000, "source": "given"},
        "imager": image(f"imager:{spec.talos}", 1),
        "installerBase": image(f"installer-base:{spec.talos}", 2),
        "catalog": None,
        "extensions": extensions,
        "dropped": [
            {
                "name": "i915",
                "reference": "ghcr.io/siderolabs/i915:v1",
                "by": "architecture",
                "reason": "for amd64 only",
            }
        ],
        "absent": [],
        "overlay": None,
        "secureBoot": None,
        "outputs": [planned_output("kernel", "none"), planned_output("initramfs", "built")],
        "standIn": False,
    }


def planned_output(name: str, initramfs: str) -> dict[str, Any]:
    """An output of a plan, as JSON."""
    output = PlannedOutput(
        name=name,
        imager_kind=name,
        platform="metal",
        imager_file=name,
        path=f"boot/{name}",
        media_type="application/octet-stream",
        initramfs=Initramfs(initramfs),
        compression=Compression.NONE,
        base_installer=False,
    )
    return output.model_dump(mode="json")


def build(root: Path, spec: Spec, expectation: Expectation | None = None) -> Expectation:
    """Writes the assets of a description and seals them, as a build does."""
    expectation = expectation or expectation_of(spec)
    write(root, files_of(spec))
    seal(root, expectation, Plan.model_validate(plan_of(spec)))
    return expectation
