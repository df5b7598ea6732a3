"""The system extensions: real layouts, with what the lab has in place of their contents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from embedded.lab import golang
from embedded.lab.contents import manifest, services
from embedded.lab.contents.kernel import EXTENSION_MODULES, INDEXES
from embedded.lab.contents.kernel import TOOLS as TOOLS_ROOT
from embedded.lab.contents.manifest import Manifest, runtime, spdx
from embedded.lab.contents.releases import REGISTRY, RELEASES, TAILSCALE, Release
from embedded.lab.contents.talos import layer
from embedded.lab.debian import ARCHITECTURES, Packages
from embedded.lab.oci import Platform
from embedded.lab.recipe import Bench, Recipe, Value
from embedded.lab.tree import File, Folder, Tree

Content = Callable[[Bench, str], Tree]
"""Gives an extension's root filesystem for an architecture."""

FIRMWARE: Final = "part/firmware"
_FIRMWARE_PACKAGES: Final = {
    "firmware-bnx2:amd64": ("bnx2",),
    "firmware-bnx2x:amd64": ("bnx2x",),
    "firmware-qlogic:amd64": ("qed", "ql2*_fw.bin"),
    "firmware-intel-misc:amd64": ("intel/ice/ddp/ice-*.pkg",),
    "amd64-microcode:amd64": ("amd-ucode",),
    "intel-microcode:amd64": ("intel-ucode",),
}
"""Package → what is kept of its usr/lib/firmware."""


@dataclass(frozen=True)
class Extension:
    """One extension: its tag, its manifest, and what its root filesystem is made of."""

    tag: str
    manifest: Manifest
    content: Content
    needs: tuple[str, ...] = ()
    files: tuple[Path, ...] = field(default=())

    @property
    def reference(self) -> str:
        """The image reference without digest."""
        return f"{REGISTRY}/{self.manifest.name}:{self.tag}"

    def recipe(self) -> Recipe:
        """Return the recipe of the image."""

        def make(bench: Bench) -> Value:
            platforms = [
                Platform(name, [layer(bench, image_root(self.manifest, self.content(bench, name)))])
                for name in ARCHITECTURES
            ]
            return bench.image(bench.blobs.put_image(platforms, description=self.manifest.what))

        code = (Path(manifest.__file__), Path(services.__file__))
        return Recipe(self.reference, make, self.needs, {"manifest": self.manifest.text()}, self.files, code)


def image_root(described: Manifest, root: Tree) -> Tree:
    """Return an extension image's files: `/manifest.yaml` and `/rootfs`."""
    image = Tree().add("rootfs", Folder()).text("manifest.yaml", described.text())
    for path, entry in root.entries.items():
        image.add(f"rootfs/{path}", entry)
    return image


def _firmware() -> Recipe:
    def make(bench: Bench) -> Value:
        unpacked = bench.scratch / "unpacked"
        Packages(bench).unpack(_FIRMWARE_PACKAGES, unpacked)
        source = unpacked / "usr/lib/firmware"
        for patterns in _FIRMWARE_PACKAGES.values():
            for pattern in patterns:
                for found in sorted(source.glob(pattern)):
                    target = bench.out / found.relative_to(source)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    found.rename(target)
        return {}

    return Recipe(FIRMWARE, make, (TOOLS_ROOT,), {"packages": _FIRMWARE_PACKAGES})


def _tailscale_programs(architecture: str) -> Recipe:
    def make(bench: Bench) -> Value:
        names = ("tailscale", "tailscaled", "containerboot")
        stamps = {
            "tailscale.com/version.shortStamp": TAILSCALE,
            "tailscale.com/version.longStamp": f"{TAILSCALE}-cozystack-talos-lab",
        }
        packages = {name: f"tailscale.com/cmd/{name}" for name in names}
        golang.build(bench, golang.TAILSCALE, packages, architecture, bench.out, stamps)
        return {}

    return Recipe(f"part/tailscale/{architecture}", make, inputs={"version": TAILSCALE}, files=(golang.TAILSCALE,))


def firmware(*names: str) -> Content:
    """Return the content of an extension that carries firmware, named as below usr/lib/firmware."""

    def content(bench: Bench, _: str) -> Tree:
        tree, source = Tree(), bench.need(FIRMWARE).folder
        for name in names:
            for found in sorted(source.glob(name)):
                tree.copy(found, f"usr/lib/firmware/{found.relative_to(source)}")
        return tree

    return content


def _ice(bench: Bench, _: str) -> Tree:
    (package,) = bench.need(FIRMWARE).folder.glob("intel/ice/ddp/ice-*.pkg")
    return Tree().copy(package, "usr/lib/firmware/intel/ice/ddp/ice.pkg")


def modules(bench: Bench, architecture: str, folder: str, names: tuple[str, ...]) -> Tree:
    """Return modules of the lab's kernel below `usr/lib/modules/<release>/<folder>`, with the kernel's own lists."""
    kernel = bench.need(f"part/kernel/{architecture}")
    home = f"usr/lib/modules/{kernel.value['release']}"
    tree = Tree()
    for index in INDEXES:
        tree.copy(kernel.folder / index, f"{home}/{index}")
    for name in names:
        tree.copy(kernel.folder / "extension/kernel" / EXTENSION_MODULES[name], f"{home}/{folder}/{name}.ko")
    return tree


def _drbd(bench: Bench, architecture: str) -> Tree:
    return modules(bench, architecture, "extras", ("drbd",))


def _zfs(release: Release) -> Content:
    def content(bench: Bench, architecture: str) -> Tree:
        tree = modules(bench, architecture, "extras", ("zfs", "spl"))
        tree.text("usr/local/etc/containers/zfs-service.yaml", services.ZFS)
        stand_ins(bench, tree, architecture, release.zfs, "usr/local/lib/containers/zfs-service", "zfs-service")
        return stand_ins(bench, tree, architecture, release.zfs, "usr/local/sbin", "zfs", "zpool")

    return content


def _drm(name: str, folder: str) -> Content:
    def content(bench: Bench, architecture: str) -> Tree:
        if architecture == "arm64":
            return Tree()
        tree = modules(bench, architecture, f"kernel/drivers/gpu/drm/{folder}", (name,))
        return tree.text(f"usr/lib/firmware/{name}/STAND-IN.bin", f"STAND-IN for the firmware of {name}\n")

    return content


def stand_ins(bench: Bench, tree: Tree, architecture: str, version: str, folder: str, *names: str) -> Tree:
    """Add programs that say what they stand in for."""
    for name in names:
        built = bench.scratch / architecture
        golang.build(
            bench,
            golang.PROGRAMS,
            {name: "./standin"},
            architecture,
            built,
            {"main.name": name, "main.version": version},
        )
        tree.add(f"{folder}/{name}", File(built / name, 0o755))
    return tree


def _runtime(name: str, version: str, programs: tuple[str, ...], configurations: dict[str, str]) -> Content:
    def content(bench: Bench, architecture: str) -> Tree:
        tree = stand_ins(bench, Tree(), architecture, version, "usr/local/bin", *programs)
        for file, text in configurations.items():
            tree.text(f"etc/cri/conf.d/{file}", text)
        return tree.text(f"usr/local/share/spdx/{name}.spdx.json", spdx(name, version, "Apache-2.0"))

    return content


def _tailscale(bench: Bench, architecture: str) -> Tree:
    home = "usr/local/lib/containers/tailscale"
    tree = Tree().copy(bench.need(f"part/tailscale/{architecture}").folder, f"{home}/usr/local/bin")
    for folder in (
        "dev",
        "etc/ssl/certs",
        "proc",
        "sys",
        "tmp",
        "usr/lib",
        "usr/bin",
        "sbin",
        "var/run/tailscale",
        "var/lib/tailscale",
    ):
        tree.add(f"{home}/{folder}", Folder())
    tree.text("usr/local/etc/containers/tailscale.yaml", services.TAILSCALE)
    return tree.text("usr/local/share/spdx/tailscale.spdx.json", spdx("tailscale", TAILSCALE, "BSD-3-Clause"))


def _microcode(release: Release) -> Content:
    def content(bench: Bench, architecture: str) -> Tree:
        tree = firmware("intel-ucode")(bench, architecture)
        return tree.text(
            "usr/local/share/spdx/intel-ucode.spdx.json", spdx("intel-ucode", release.intel_microcode, "NOASSERTION")
        )

    return content


def _util_linux(release: Release) -> Content:
    def content(bench: Bench, architecture: str) -> Tree:
        return stand_ins(bench, Tree(), architecture, release.util_linux, "usr/local/bin", "lsblk", "wipefs")

    return content


def of_release(release: Release) -> list[Extension]:
    """Return the extensions that belong to a Talos release: those of CozyStack's profiles first, in their order."""
    kernels = tuple(f"part/kernel/{name}" for name in ARCHITECTURES)
    code = golang.STAND_IN
    of_talos, with_firmware = f"-{release.talos}", (FIRMWARE,)
    say = "the lab's package with"

    def blobs(name: str, version: str, content: Content, what: str) -> Extension:
        return Extension(version, Manifest(name, version, "core", f"{say} {what} from Debian"), content, with_firmware)

    def kernel(name: str, version: str, tier: str, content: Content, what: str, talos: str = ">= v1.0.0") -> Extension:
        tag = version + of_talos
        return Extension(
            tag, Manifest(name, tag, tier, f"{say} {what} of Debian's kernel", talos), content, kernels, code
        )

    def shim(name: str, version: str, tier: str, content: Content, talos: str = ">= v1.0.0") -> Extension:
        what = f"a program in place of {name} that only says so"
        return Extension(version, Manifest(name, version, tier, what, talos), content, (), code)

    spin = {"10-spin.part": runtime("spin", "io.containerd.spin.v2")}
    gvisor = {
        f"10-{part}.part": runtime(
            name, "io.containerd.runsc.v1", {"TypeUrl": "io.containerd.runsc.v1.options", "ConfigPath": path}
        )
        for part, name, path in (
            ("gvisor", "runsc", "/etc/cri/conf.d/runsc.toml"),
            ("gvisor-kvm", "runsc-kvm", "/etc/cri/conf.d/runsc-kvm.toml"),
        )
    } | {"runsc.toml": "[runsc_config]\n", "runsc-kvm.toml": '[runsc_config]\n  platform = "kvm"\n'}
    crun = {"10-crun.part": runtime("crun", "io.containerd.runc.v2", {"BinaryName": "/usr/local/bin/crun"})}
    youki = {"10-youki.part": runtime("youki", "io.containerd.runc.v2", {"BinaryName": "/usr/local/bin/youki"})}
    wasmedge = {"10-wasm.part": runtime("wasmedge", "io.containerd.wasmedge.v1")}
    return [
        blobs("amd-ucode", release.firmware, firmware("amd-ucode"), "AMD microcode"),
        kernel("amdgpu", release.firmware, "core", _drm("amdgpu", "amd/amdgpu"), "the module amdgpu"),
        blobs("bnx2-bnx2x", release.firmware, firmware("bnx2", "bnx2x"), "bnx2 and bnx2x firmware"),
        blobs("intel-ice-firmware", release.firmware, _ice, "Intel ice firmware"),
        kernel("i915", release.firmware, "core", _drm("i915", "i915"), "the module i915"),
        blobs("intel-ucode", release.intel_microcode, _microcode(release), "Intel microcode"),
        blobs("qlogic-firmware", release.firmware, firmware("qed", "ql2*_fw.bin"), "QLogic firmware"),
        kernel("drbd", release.drbd, "extra", _drbd, "the module drbd", ">= v1.2.0"),
        kernel(
            "zfs", release.zfs, "extra", _zfs(release), "two file system modules in place of zfs and spl", ">= v1.6.0"
        ),
        shim("spin", release.spin, "extra", _runtime("spin", release.spin, ("containerd-shim-spin-v2",), spin)),
        Extension(
            TAILSCALE,
            Manifest("tailscale", TAILSCALE, "extra", "Tailscale built from its Go module", ">= v1.5.0"),
            _tailscale,
            tuple(f"part/tailscale/{name}" for name in ARCHITECTURES),
        ),
        shim(
            "gvisor",
            release.gvisor,
            "extra",
            _runtime("gvisor", release.gvisor, ("runsc", "containerd-shim-runsc-v1"), gvisor),
        ),
        shim("crun", release.crun, "extra", _runtime("crun", release.crun, ("crun",), crun), ">= v1.8.0"),
        shim("youki", release.youki, "contrib", _runtime("youki", release.youki, ("youki",), youki), ">= v1.9.0"),
        shim(
            "wasmedge",
            release.wasmedge,
            "extra",
            _runtime("wasmedge", release.wasmedge, ("containerd-shim-wasmedge-v1",), wasmedge),
        ),
        shim("util-linux-tools", release.util_linux, "core", _util_linux(release)),
    ]


def profile_extensions(release: Release) -> list[Extension]:
    """Return the nine extensions of CozyStack's profiles, in their order."""
    return of_release(release)[:9]


def recipes() -> list[Recipe]:
    """Return the recipes of all extensions and of what they are made of."""
    extensions = {extension.reference: extension for release in RELEASES for extension in of_release(release)}
    return [
        _firmware(),
        *(_tailscale_programs(name) for name in ARCHITECTURES),
        *(extension.recipe() for extension in extensions.values()),
    ]
