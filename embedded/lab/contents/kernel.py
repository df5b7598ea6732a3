"""Debian's kernel, a subset of its modules, and the base initramfs made of them."""

from __future__ import annotations

import fnmatch
import lzma
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from embedded.lab import golang, payload
from embedded.lab.contents import layers
from embedded.lab.debian import ARCHITECTURES, NATIVE, Packages
from embedded.lab.recipe import Bench, Recipe, Value
from embedded.lab.tree import File, Folder, Link, Tree

TOOLS: Final = f"part/root/imager/{NATIVE}"

# Enough to boot in a virtual machine and to be a base for the modules of extensions; Talos's own set is ten times that.
BASE_MODULES: Final = (
    "fs/squashfs/*", "fs/overlayfs/*", "fs/xfs/*", "fs/fat/*", "fs/nls/*", "fs/isofs/*", "fs/fuse/*",
    "drivers/block/loop.ko", "drivers/block/virtio_blk.ko", "drivers/block/nbd.ko",
    "drivers/virtio/*", "drivers/char/hw_random/virtio-rng.ko", "drivers/firmware/qemu_fw_cfg.ko",
    "drivers/net/virtio_net.ko", "drivers/net/tun.ko", "drivers/net/veth.ko", "drivers/net/dummy.ko",
    "drivers/net/vxlan/*", "drivers/net/bonding/*", "drivers/net/wireguard/*",
    "drivers/net/ethernet/broadcom/bnx2.ko", "drivers/net/ethernet/broadcom/bnx2x/*",
    "drivers/net/ethernet/intel/ice/*", "drivers/net/ethernet/qlogic/qed*/*",
    "drivers/nvme/host/*", "drivers/ata/ahci.ko", "drivers/scsi/sd_mod.ko", "drivers/scsi/virtio_scsi.ko",
    "drivers/md/dm-mod.ko", "net/bridge/*", "net/8021q/*", "net/netfilter/*",
    "net/openvswitch/*", "lib/lru_cache.ko", "crypto/crc32c_generic.ko",
)  # fmt: skip

EXTENSION_MODULES: Final = {
    "drbd": "drivers/block/drbd/drbd.ko",
    "zfs": "fs/f2fs/f2fs.ko",
    "spl": "fs/jfs/jfs.ko",
    "amdgpu": "drivers/gpu/drm/amd/amdgpu/amdgpu.ko",
    "i915": "drivers/gpu/drm/i915/i915.ko",
}
"""What extensions carry, by the name it has there. Debian has no zfs: two other file systems stand in for it."""

BOOT_MODULES: Final = ("drivers/block/loop.ko", "fs/squashfs/squashfs.ko", "fs/overlayfs/overlay.ko")
"""Modules that init needs before it can mount anything; none of them needs another one."""

DEVICE_TREES: Final = {"rpi_generic": ("bcm2711-rpi-4-b.dtb",), "rpi_5": ("bcm2712-rpi-5-b.dtb",)}
"""What boards need of the arm64 kernel's device trees, which lie in a folder of the chip's maker."""

PAYLOAD: Final = "usr/lib/cozystack-lab/payload"
PAYLOAD_SIZE: Final = 64_000_000
"""Bytes, of no use and not to be compressed, that make the base initramfs as large as Talos's: 72 MB."""

INDEXES: Final = ("modules.order", "modules.builtin", "modules.builtin.modinfo")


def _kernel(architecture: str) -> Recipe:
    def make(bench: Bench) -> Value:
        packages = Packages(bench)
        (package,) = packages.dependencies(f"linux-image-{architecture}:{architecture}")[:1]
        package = package.partition(":")[0]
        release = package.removeprefix("linux-image-")
        unpacked = bench.scratch / "unpacked"
        packages.unpack([f"{package}:{architecture}"], unpacked)
        bench.say("modules")
        modules = unpacked / "usr/lib/modules" / release
        tree = _Modules(modules / "kernel")
        # What a module needs has to be in the image too, graphics drivers' not excepted.
        wanted = [path for path in EXTENSION_MODULES.values() if path in tree.paths]
        base = tree.closure(tree.matching(BASE_MODULES)) | (tree.closure(wanted) - set(wanted))
        base -= set(EXTENSION_MODULES.values())
        tree.copy(base, bench.out / "base")
        tree.copy([path for path in EXTENSION_MODULES.values() if path in tree.paths], bench.out / "extension")
        tree.copy(BOOT_MODULES, bench.out / "boot")
        for name in INDEXES:
            shutil.copyfile(modules / name, bench.out / name)
        shutil.copyfile(unpacked / "boot" / f"vmlinuz-{release}", bench.out / "vmlinuz")
        if architecture == "arm64":
            trees = unpacked / "usr/lib" / package / "broadcom"
            (bench.out / "device-trees").mkdir()
            for file in (file for files in DEVICE_TREES.values() for file in files):
                shutil.copyfile(trees / file, bench.out / "device-trees" / file)
        return {"release": release, "package": package}

    inputs = {"base": BASE_MODULES, "extension": EXTENSION_MODULES, "boot": BOOT_MODULES, "trees": DEVICE_TREES}
    return Recipe(f"part/kernel/{architecture}", make, inputs=inputs)


class _Modules:
    """A kernel's tree of modules, as Debian packs it: paths are relative to it and end in `.ko`."""

    def __init__(self, folder: Path) -> None:
        self._files = {
            str(file.relative_to(folder)).removesuffix(".xz"): file for file in folder.rglob("*.ko*") if file.is_file()
        }
        self._by_name = {_name(path): path for path in self._files}
        self._contents: dict[str, bytes] = {}

    @property
    def paths(self) -> Iterable[str]:
        """All modules."""
        return self._files.keys()

    def matching(self, patterns: Iterable[str]) -> set[str]:
        """Return the modules that match a pattern."""
        return {path for pattern in patterns for path in fnmatch.filter(self._files, pattern)}

    def closure(self, paths: Iterable[str]) -> set[str]:
        """Return modules and all that they need, by their own words: depmod would have to read thousands for that."""
        found, pending = set[str](), list(paths)
        while pending:
            path = pending.pop()
            if path not in found:
                found.add(path)
                pending += [self._by_name[name] for name in _needs(self._content(path)) if name in self._by_name]
        return found

    def copy(self, paths: Iterable[str], into: Path) -> None:
        """Copy modules below `into`/kernel, as Debian packs them: the lab keeps them for all that it makes of them."""
        for path in sorted(paths):
            source = self._files[path]
            target = into / "kernel" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target.with_name(target.name + source.name.removeprefix(target.name)))

    def _content(self, path: str) -> bytes:
        if path not in self._contents:
            self._contents[path] = _unpacked(self._files[path])
        return self._contents[path]


def module(folder: Path, path: str) -> bytes:
    """Return a module of a part's folder of modules: `path` is relative to its `kernel` and ends in `.ko`."""
    (file,) = (folder / "kernel" / path).parent.glob(f"{Path(path).name}*")
    return _unpacked(file)


def _unpacked(file: Path) -> bytes:
    return lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()


def _unpack(folder: Path, into: Path) -> None:
    """Write all modules of a part's folder, unpacked."""
    for file in sorted((folder / "kernel").rglob("*.ko*")):
        target = into / file.relative_to(folder / "kernel").with_name(file.name.removesuffix(".xz"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_unpacked(file))


def _name(path: str) -> str:
    return Path(path).name.removesuffix(".ko").replace("-", "_")


def _needs(module: bytes) -> list[str]:
    """Read what a module says that it depends on: `depends=` in its section .modinfo."""
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    return [name.replace("-", "_") for name in found[1].decode().split(",") if name] if found else []


def _initramfs(architecture: str) -> Recipe:
    """Make it as the layer of the imager that holds it, and nothing else: beside that it would be a copy."""
    kernel = f"part/kernel/{architecture}"

    def make(bench: Bench) -> Value:
        made = bench.need(kernel)
        init = bench.scratch / "init"
        init_program(bench, architecture, made.folder / "boot", init)
        bench.say("rootfs.sqsh")
        release = str(made.value["release"])
        modules = bench.scratch / "modules/usr/lib/modules" / release
        _unpack(made.folder / "base", modules / "kernel")
        for name in INDEXES:
            shutil.copyfile(made.folder / name, modules / name)
        bench.run_in_tools("depmod", "--basedir", bench.scratch / "modules/usr", release)
        root = Tree()
        for folder in (
            "dev",
            "proc",
            "sys",
            "run",
            "tmp",
            "var",
            "opt",
            "etc/cri/conf.d",
            "usr/lib/firmware",
            "usr/local/etc",
        ):
            root.add(folder, Folder())
        for name in ("bin", "sbin", "lib"):
            root.add(name, Link(f"usr/{'lib' if name == 'lib' else 'bin'}"))
        root.copy(init, "usr/bin/init")
        root.add(PAYLOAD, File(payload.content(f"rootfs {architecture}", PAYLOAD_SIZE, 1)))
        root.copy(bench.scratch / "modules/usr/lib/modules", "usr/lib/modules")
        tar = bench.scratch / "rootfs.tar"
        with tar.open("wb") as file:
            root.write(file)
        archive = bench.scratch / "archive"
        archive.mkdir()
        shutil.copyfile(init, archive / "init")
        (archive / "init").chmod(0o755)
        options = "-tar -comp zstd -Xcompression-level 3 -all-root -no-progress -quiet"
        squash = f"mksquashfs - {archive}/rootfs.sqsh {options} < {tar}"
        bench.run_in_tools("sh", "-c", squash)
        bench.say("initramfs")
        packed = bench.scratch / "initramfs.xz"
        pack = (
            "chmod 644 rootfs.sqsh && touch --date=@$SOURCE_DATE_EPOCH init rootfs.sqsh && "
            "printf 'init\\nrootfs.sqsh\\n' | "
            f"cpio --quiet --reproducible -o -H newc -R 0:0 | zstd -q -3 > {packed}"
        )
        bench.run_in_tools("sh", "-c", pack, cwd=archive)
        tree = Tree().copy(packed, f"usr/install/{architecture}/initramfs.xz")
        return {"release": release, "layer": layers.layer(bench, tree).as_json()}

    return Recipe(
        f"part/initramfs/{architecture}",
        make,
        (TOOLS, kernel),
        inputs={"payload": PAYLOAD_SIZE},
        files=(golang.PROGRAMS / "go.mod", golang.PROGRAMS / "go.sum", golang.PROGRAMS / "init"),
        code=(Path(payload.__file__), Path(layers.__file__)),
        compiles=True,
    )


def init_program(bench: Bench, architecture: str, modules: Path, target: Path) -> None:
    """Build the init with the modules that it carries; `modules` holds the files of BOOT_MODULES."""
    source = golang.copy_source(golang.PROGRAMS, bench.scratch / "source")
    for number, name in enumerate(BOOT_MODULES):
        (source / "init/modules" / f"{number}-{Path(name).name}").write_bytes(module(modules, name))
    golang.build(bench, source, {target.name: "./init"}, architecture, target.parent)


def recipes() -> list[Recipe]:
    """Return the recipes of the kernels and the initramfs."""
    return [recipe(architecture) for architecture in ARCHITECTURES for recipe in (_kernel, _initramfs)]
