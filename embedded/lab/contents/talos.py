"""Talos's own images: imager, installer-base, installer; and Matchbox, which CozyStack adds the assets to."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from embedded.lab import debian, golang
from embedded.lab.contents import seeded
from embedded.lab.contents.bases import PATH, foreign_root
from embedded.lab.contents.kernel import TOOLS
from embedded.lab.contents.layers import layer
from embedded.lab.contents.releases import REGISTRY, RELEASES, Release
from embedded.lab.contents.seeded import program
from embedded.lab.debian import ARCHITECTURES, NATIVE, STATUS, Packages
from embedded.lab.oci import Layer, Platform
from embedded.lab.recipe import Bench, Recipe, Value
from embedded.lab.tree import File, Folder, Link, Tree

IMAGER: Final = golang.LAB / "imager"
EFI_NAMES: Final = {
    "amd64": ("linuxx64.efi.stub", "systemd-bootx64.efi"),
    "arm64": ("linuxaa64.efi.stub", "systemd-bootaa64.efi"),
}
INSTALL_LAYER: Final = "part/imager/install"
GRUB_LAYER: Final = "part/imager/grub"
# For every architecture that is built for, whatever the one that the imager runs on.
_GRUB_PACKAGES: Final = ("grub-pc-bin:amd64", "grub-efi-amd64-bin:amd64", "grub-efi-arm64-bin:arm64")
_PYTHON: Final = f"part/root/python/{NATIVE}"
_BYTECODE_LAYER: Final = "part/imager/bytecode"
_HOME: Final = "usr/lib/cozystack-lab/imager"
# The package, where it is in the image, and the folder that becomes the image's.
_COMPILE: Final = """
import importlib.util, py_compile, sys
from pathlib import Path
package, home, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
sys.path.insert(0, str(package.parent))
import imager.main
for module in list(sys.modules.values()):
    file = getattr(module, "__file__", None) or ""
    if file.endswith(".py"):
        name = file.replace(str(package), home, 1)
        kept = out / importlib.util.cache_from_source(name)[1:]
        py_compile.compile(file, kept, name, True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""


def imager_packages() -> tuple[str, ...]:
    """Return the packages that the lab's imager names in its packages.txt."""
    lines = (line.partition("#")[0].strip() for line in (IMAGER / "packages.txt").read_text().splitlines())
    return tuple(line for line in lines if line)


def _tools() -> Recipe:
    """Make the imager's tools: packages unpacked over Python's image, whose layer lies below."""

    def make(bench: Bench) -> Value:
        python, packages, unpacked = bench.need(_PYTHON), Packages(bench), bench.scratch / "unpacked"
        packages.unpack(packages.closure(imager_packages(), python.folder / STATUS), unpacked)
        debian.slim(unpacked)
        bench.say("layer")
        return {"layer": layer(bench, Tree().copy(unpacked, "")).as_json(), "below": [python.value["layer"]]}

    return Recipe(TOOLS, make, (_PYTHON,), {"packages": imager_packages()}, code=(Path(debian.__file__),))


def _layer_recipe(name: str, build: Callable[[Bench], Tree], needs: tuple[str, ...], **more: Any) -> Recipe:
    def make(bench: Bench) -> Value:
        return {"layer": layer(bench, build(bench)).as_json()}

    return Recipe(name, make, needs, **more)


def _boot_loader(architecture: str) -> Recipe:
    def make(bench: Bench) -> Value:
        unpacked = bench.scratch / "unpacked"
        Packages(bench).unpack([f"systemd-boot-efi:{architecture}"], unpacked)
        for source, target in zip(EFI_NAMES[architecture], ("systemd-stub.efi", "systemd-boot.efi"), strict=True):
            (unpacked / "usr/lib/systemd/boot/efi" / source).rename(bench.out / target)
        return {}

    return Recipe(f"part/boot-loader/{architecture}", make)


def _install(bench: Bench) -> Tree:
    tree = Tree()
    for name in ARCHITECTURES:
        folder = f"usr/install/{name}"
        tree.copy(bench.need(f"part/kernel/{name}").folder / "vmlinuz", f"{folder}/vmlinuz")
        tree.copy(bench.need(f"part/boot-loader/{name}").folder, folder)
    return tree


def _grub(bench: Bench) -> Tree:
    unpacked = bench.scratch / "unpacked"
    Packages(bench).unpack(_GRUB_PACKAGES, unpacked)
    tree = Tree()
    for platform in ("i386-pc", "x86_64-efi", "arm64-efi"):
        tree.copy(unpacked / "usr/lib/grub" / platform, f"usr/lib/grub/{platform}")
    return tree


def _compiled(bench: Bench) -> Tree:
    """Compile what the program imports, Python's own library too: the real imager is a binary, and starts at once.

    Bytecode is the same for all architectures.
    """
    bench.say("compile")
    package, out = bench.scratch / "imager", bench.scratch / "compiled"
    shutil.copytree(IMAGER, package, ignore=shutil.ignore_patterns("__pycache__"))
    bench.run_in_tools("python3", "-IBc", _COMPILE, package, f"/{_HOME}", out)
    return Tree().copy(out, "")


def _program(release: Release) -> Callable[[Bench], Tree]:
    def build(_: Bench) -> Tree:
        return (
            Tree()
            .copy(IMAGER, _HOME, skip=frozenset({"__pycache__", "packages.txt"}))
            .add("usr/bin/imager", Link(f"/{_HOME}/bin/imager"))
            .text("usr/install/VERSION", f"{release.talos}\n")
            .copy(IMAGER / "etc/10-extra-modules.conf", "etc/modules.d/10-extra-modules.conf")
            .add("tmp", Folder(0o1777))
            .text("STAND-IN.txt", "This is the imager of the cozystack-talos lab, not the one of Talos.\n")
        )

    return build


def _config(release: Release, architecture: str, entrypoint: str) -> dict[str, Any]:
    return {
        "Env": [PATH, f"TARGETARCH={architecture}", f"VERSION={release.talos}"],
        "Entrypoint": [entrypoint],
        "WorkingDir": "/",
        "Labels": {
            "alpha.talos.dev/version": release.talos,
            "org.opencontainers.image.source": "https://github.com/siderolabs/talos",
        },
    }


def _imager(release: Release) -> list[Recipe]:
    own = f"part/imager/program/{release.talos}"
    roots = tuple(f"part/root/imager/{name}" for name in ARCHITECTURES)
    shared = (*(f"part/initramfs/{name}" for name in ARCHITECTURES), INSTALL_LAYER, GRUB_LAYER, _BYTECODE_LAYER)

    def make(bench: Bench) -> Value:
        upper = [bench.need(part).layer for part in (*shared, own)]
        platforms: list[Platform] = []
        for name in ARCHITECTURES:
            tools = bench.need(f"part/root/imager/{name}")
            platforms.append(Platform(name, [*tools.layers, *upper], _config(release, name, "/usr/bin/imager")))
        return bench.image(
            bench.blobs.put_image(platforms, description=f"the lab's imager, as of Talos {release.talos}")
        )

    return [
        _layer_recipe(own, _program(release), (), inputs={"talos": release.talos}, files=(IMAGER,)),
        Recipe(f"{REGISTRY}/imager:{release.talos}", make, (*roots, *shared, own)),
    ]


def _installer(release: Release) -> list[Recipe]:
    """Make installer-base (the program) and installer (that, and what it installs).

    Talos's own have this many layers: the base one, the installer two.
    """
    base = f"part/installer/base/{release.talos}"
    upper = f"part/installer/boot/{release.talos}"

    def make_base(bench: Bench) -> Value:
        layers: Value = {}
        for name in ARCHITECTURES:
            tree = (
                Tree()
                .add("usr/bin/installer", program(name, "installer", release.talos))
                .add("usr/bin/imager", Link("installer"))
            )
            for link in ("bin", "sbin"):
                tree.add(link, Link("usr/bin"))
            layers[name] = layer(bench, tree).as_json()
        return {**layers, "blobs": [layers[name] for name in ARCHITECTURES]}

    def make_upper(bench: Bench) -> Value:
        layers: Value = {}
        for name in ARCHITECTURES:
            kernel = bench.need(f"part/kernel/{name}").folder / "vmlinuz"
            boot = bench.need(f"part/boot-loader/{name}").folder / "systemd-boot.efi"
            # Talos puts its UKI here, with these modes; the imager replaces this layer, so a bare kernel is enough.
            tree = (
                Tree()
                .add(f"usr/install/{name}/vmlinuz.efi", File(kernel, 0))
                .add(f"usr/install/{name}/systemd-boot.efi", File(boot, 0))
            )
            layers[name] = layer(bench, tree).as_json()
        return {**layers, "blobs": [layers[name] for name in ARCHITECTURES]}

    def image(*parts: str) -> Callable[[Bench], Value]:
        def make(bench: Bench) -> Value:
            platforms = [
                Platform(
                    name,
                    [Layer.from_json(bench.need(part).value[name]) for part in parts],
                    _config(release, name, "/bin/installer"),
                )
                for name in ARCHITECTURES
            ]
            return bench.image(
                bench.blobs.put_image(
                    platforms, description=f"an installer that installs nothing, as of Talos {release.talos}"
                )
            )

        return make

    sources = tuple(f"part/{kind}/{name}" for kind in ("kernel", "boot-loader") for name in ARCHITECTURES)
    return [
        Recipe(base, make_base, inputs={"talos": release.talos}, code=seeded.CODE),
        Recipe(upper, make_upper, sources),
        Recipe(f"{REGISTRY}/installer-base:{release.talos}", image(base), (base,)),
        Recipe(f"{REGISTRY}/installer:{release.talos}", image(base, upper), (base, upper)),
    ]


def _matchbox(release: Release) -> Recipe:
    ports: dict[str, dict[str, str]] = {"8080/tcp": {}}
    config = {"Env": [PATH], "Entrypoint": ["/matchbox"], "ExposedPorts": ports}

    def make(bench: Bench) -> Value:
        platforms: list[Platform] = []
        for name in ARCHITECTURES:
            tree = Tree().add("etc", Folder()).add("tmp", Folder(0o1777))
            if name == NATIVE:
                stamps = {"main.version": release.matchbox}
                golang.build(bench, golang.PROGRAMS, {"matchbox": "./matchbox"}, name, bench.scratch, stamps)
                tree.copy(bench.scratch / "matchbox", "matchbox")
            else:  # nobody here can run it, and it would cost a compilation of Go's own packages
                tree.add("matchbox", program(name, "matchbox", release.matchbox))
            platforms.append(Platform(name, [layer(bench, tree)], config))
        return bench.image(
            bench.blobs.put_image(
                platforms, description=f"a small server with the command line of Matchbox {release.matchbox}"
            )
        )

    return Recipe(
        f"quay.io/poseidon/matchbox:{release.matchbox}",
        make,
        inputs={"version": release.matchbox},
        files=(golang.PROGRAMS / "go.mod", golang.PROGRAMS / "matchbox"),
        code=seeded.CODE,
        compiles=True,
    )


def recipes() -> list[Recipe]:
    """Return the recipes of Talos's images and Matchbox."""
    inputs = tuple(f"part/{kind}/{name}" for kind in ("kernel", "boot-loader") for name in ARCHITECTURES)
    return [
        _tools(),
        foreign_root("imager", ("usr/bin/mksquashfs",)),
        *(_boot_loader(name) for name in ARCHITECTURES),
        _layer_recipe(INSTALL_LAYER, _install, inputs),
        _layer_recipe(GRUB_LAYER, _grub, (), inputs={"packages": _GRUB_PACKAGES}),
        _layer_recipe(_BYTECODE_LAYER, _compiled, (TOOLS,), inputs={"script": _COMPILE}, files=(IMAGER,)),
        *(recipe for release in RELEASES for recipe in (*_imager(release), *_installer(release), _matchbox(release))),
    ]
