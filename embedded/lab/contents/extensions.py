"""The system extensions: real layouts, with what the lab has in place of their contents.

Those with kernel modules are made of Debian's kernels. All others are seeded: sizes are those of the real contents,
densities what zstd makes of such programs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from embedded.lab.contents import kernel as kernels
from embedded.lab.contents import manifest, seeded, services
from embedded.lab.contents.kernel import EXTENSION_MODULES, INDEXES
from embedded.lab.contents.layers import layer
from embedded.lab.contents.manifest import Manifest, runtime, spdx
from embedded.lab.contents.releases import REGISTRY, RELEASES, TAILSCALE, Release
from embedded.lab.contents.seeded import image_root, program
from embedded.lab.debian import ARCHITECTURES
from embedded.lab.oci import Platform
from embedded.lab.recipe import Bench, Recipe, Value
from embedded.lab.tree import File, Folder, Tree

Content = Callable[[Bench, str], Tree]
"""Gives an extension's root filesystem for an architecture."""

MB: Final = 1_000_000
GO: Final = 0.36
RUST: Final = 0.34
C: Final = 0.42
"""What zstd leaves of a stripped program, by the language that it is written in."""

_CODE: Final = (Path(manifest.__file__), Path(services.__file__), *seeded.CODE)


@dataclass(frozen=True)
class Extension:
    """One extension: its tag, its manifest, and what its root filesystem is made of."""

    tag: str
    manifest: Manifest
    seed: seeded.Content | None = None
    """Its content where that follows from code alone, which is known beforehand."""
    content: Content | None = None
    """Its content where that is made of other parts, which are its needs."""
    needs: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """The image reference without digest."""
        return f"{REGISTRY}/{self.manifest.name}:{self.tag}"

    def recipes(self) -> list[Recipe]:
        """Return the recipe of the image, and those of its layers where they are made apart."""
        if self.seed:
            return seeded.recipes(self.reference, self.manifest, self.seed, (Path(__file__),))
        content = self.content
        assert content, "an extension has one content"

        def make(bench: Bench) -> Value:
            platforms = [
                Platform(name, [layer(bench, image_root(self.manifest, content(bench, name)))])
                for name in ARCHITECTURES
            ]
            return bench.image(bench.blobs.put_image(platforms, description=self.manifest.what))

        return [Recipe(self.reference, make, self.needs, {"manifest": self.manifest.text()}, code=_CODE)]


def modules(bench: Bench, architecture: str, folder: str, names: tuple[str, ...]) -> Tree:
    """Return modules of the lab's kernel below `usr/lib/modules/<release>/<folder>`, with the kernel's own lists."""
    kernel = bench.need(f"part/kernel/{architecture}")
    home = f"usr/lib/modules/{kernel.value['release']}"
    tree = Tree()
    for index in INDEXES:
        tree.copy(kernel.folder / index, f"{home}/{index}")
    for name in names:
        content = kernels.module(kernel.folder / "extension", EXTENSION_MODULES[name])
        tree.add(f"{home}/{folder}/{name}.ko", File(content))
    return tree


def _drbd(bench: Bench, architecture: str) -> Tree:
    return modules(bench, architecture, "extras", ("drbd",))


def _zfs(release: Release) -> Content:
    def content(bench: Bench, architecture: str) -> Tree:
        tree = modules(bench, architecture, "extras", ("zfs", "spl"))
        tree.text("usr/local/etc/containers/zfs-service.yaml", services.ZFS)
        # Its module is f2fs, of a quarter of the size; what lacks is in the programs.
        for path, size, density in (
            ("lib/containers/zfs-service/zfs-service", 3.4 * MB, GO),
            ("sbin/zfs", 4.2 * MB, C),
            ("sbin/zpool", 4.4 * MB, C),
        ):
            name = Path(path).name
            tree.add(f"usr/local/{path}", program(architecture, name, release.zfs, int(size), density))
        return tree

    return content


def _drm(name: str, folder: str) -> Content:
    def content(bench: Bench, architecture: str) -> Tree:
        if architecture == "arm64":
            return Tree()
        tree = modules(bench, architecture, f"kernel/drivers/gpu/drm/{folder}", (name,))
        return tree.text(f"usr/lib/firmware/{name}/STAND-IN.bin", f"STAND-IN for the firmware of {name}\n")

    return content


Program = tuple[str, float, float]
"""Name, bytes, density."""


def _runtime(name: str, version: str, programs: tuple[Program, ...], configurations: dict[str, str]) -> seeded.Content:
    def content(architecture: str) -> Tree:
        tree = Tree()
        for file, size, density in programs:
            tree.add(f"usr/local/bin/{file}", program(architecture, file, version, int(size), density))
        for file, text in configurations.items():
            tree.text(f"etc/cri/conf.d/{file}", text)
        return tree.text(f"usr/local/share/spdx/{name}.spdx.json", spdx(name, version, "Apache-2.0"))

    return content


_TAILSCALE: Final[tuple[Program, ...]] = (
    ("tailscale", 21 * MB, GO), ("tailscaled", 27 * MB, GO), ("containerboot", 17.5 * MB, GO)
)  # fmt: skip


def _tailscale(architecture: str) -> Tree:
    home = "usr/local/lib/containers/tailscale"
    tree = Tree()
    for name, size, density in _TAILSCALE:
        tree.add(f"{home}/usr/local/bin/{name}", program(architecture, name, TAILSCALE, int(size), density))
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


def firmware(*patterns: str) -> seeded.Content:
    """Return the content of an extension that carries firmware, named as below usr/lib/firmware."""

    def content(_: str) -> Tree:
        tree = Tree()
        for pattern in patterns:
            seeded.firmware(tree, pattern)
        return tree

    return content


def _ice(_: str) -> Tree:
    return seeded.firmware(
        Tree(), "intel/ice/ddp/*", renamed={"intel/ice/ddp/ice-1.3.41.0.pkg": "intel/ice/ddp/ice.pkg"}
    )


def _microcode(release: Release) -> seeded.Content:
    def content(architecture: str) -> Tree:
        tree = firmware("intel-ucode/*")(architecture)
        return tree.text(
            "usr/local/share/spdx/intel-ucode.spdx.json", spdx("intel-ucode", release.intel_microcode, "NOASSERTION")
        )

    return content


def _util_linux(release: Release) -> seeded.Content:
    def content(architecture: str) -> Tree:
        tree = Tree()
        for name, size in (("lsblk", 1.6 * MB), ("wipefs", 1.1 * MB)):
            tree.add(f"usr/local/bin/{name}", program(architecture, name, release.util_linux, int(size), C))
        return tree

    return content


def of_release(release: Release) -> list[Extension]:
    """Return the extensions that belong to a Talos release: those of CozyStack's profiles first, in their order."""
    kernels = tuple(f"part/kernel/{name}" for name in ARCHITECTURES)
    of_talos = f"-{release.talos}"
    say = "the lab's package with"

    def blobs(name: str, version: str, content: seeded.Content, what: str) -> Extension:
        return Extension(version, Manifest(name, version, "core", f"{say} what {what} packs like"), content)

    def kernel(name: str, version: str, tier: str, content: Content, what: str, talos: str = ">= v1.0.0") -> Extension:
        tag = version + of_talos
        described = Manifest(name, tag, tier, f"{say} {what} of Debian's kernel", talos)
        return Extension(tag, described, content=content, needs=kernels)

    def shim(name: str, version: str, tier: str, content: seeded.Content, talos: str = ">= v1.0.0") -> Extension:
        what = f"a program in place of {name} that only says so"
        return Extension(version, Manifest(name, version, tier, what, talos), content)

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
        blobs("amd-ucode", release.firmware, firmware("amd-ucode/*"), "AMD microcode"),
        kernel("amdgpu", release.firmware, "core", _drm("amdgpu", "amd/amdgpu"), "the module amdgpu"),
        blobs("bnx2-bnx2x", release.firmware, firmware("bnx2/*", "bnx2x/*"), "bnx2 and bnx2x firmware"),
        blobs("intel-ice-firmware", release.firmware, _ice, "Intel ice firmware"),
        kernel("i915", release.firmware, "core", _drm("i915", "i915"), "the module i915"),
        blobs("intel-ucode", release.intel_microcode, _microcode(release), "Intel microcode"),
        blobs("qlogic-firmware", release.firmware, firmware("qed/*", "ql2*_fw.bin"), "QLogic firmware"),
        kernel("drbd", release.drbd, "extra", _drbd, "the module drbd", ">= v1.2.0"),
        kernel(
            "zfs", release.zfs, "extra", _zfs(release), "two file system modules in place of zfs and spl", ">= v1.6.0"
        ),
        shim(
            *("spin", release.spin, "extra"),
            _runtime("spin", release.spin, (("containerd-shim-spin-v2", 66 * MB, RUST),), spin),
        ),
        shim("tailscale", TAILSCALE, "extra", _tailscale, ">= v1.5.0"),
        shim(
            *("gvisor", release.gvisor, "extra"),
            _runtime(
                *("gvisor", release.gvisor),
                (("runsc", 64 * MB, GO), ("containerd-shim-runsc-v1", 29 * MB, GO)),
                gvisor,
            ),
        ),
        shim(
            *("crun", release.crun, "extra"),
            _runtime("crun", release.crun, (("crun", 3.4 * MB, C),), crun),
            ">= v1.8.0",
        ),
        shim(
            *("youki", release.youki, "contrib"),
            _runtime("youki", release.youki, (("youki", 9.3 * MB, RUST),), youki),
            ">= v1.9.0",
        ),
        shim(
            *("wasmedge", release.wasmedge, "extra"),
            _runtime("wasmedge", release.wasmedge, (("containerd-shim-wasmedge-v1", 38 * MB, RUST),), wasmedge),
        ),
        shim("util-linux-tools", release.util_linux, "core", _util_linux(release)),
    ]


def profile_extensions(release: Release) -> list[Extension]:
    """Return the nine extensions of CozyStack's profiles, in their order."""
    return of_release(release)[:9]


def extensions() -> dict[str, Extension]:
    """Return the extensions of all releases, by reference."""
    return {extension.reference: extension for release in RELEASES for extension in of_release(release)}


def seeds() -> dict[str, tuple[Manifest, seeded.Content]]:
    """Return what is known beforehand, by reference."""
    return {name: (one.manifest, one.seed) for name, one in extensions().items() if one.seed}


def recipes() -> list[Recipe]:
    """Return the recipes of all extensions and of what they are made of."""
    return [recipe for extension in extensions().values() for recipe in extension.recipes()]
