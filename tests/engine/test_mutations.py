"""Ways to break what was really built, each caught by exactly the check that is meant for it.

What is in an initramfs is broken in assets of kernel and initramfs alone: an output that embeds it would differ too.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import re
import struct
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from ci.verify.verify import OF_SIGNATURES, verify
from tests.engine.built import Built, Initramfs, files_of, unpacked
from tests.unit.inspect import samples
from tests.unit.inspect.samples import File
from tests.unit.verify import mutations_of_folders as later

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ci.plan.expectation import Expectation

SMALL = ("kernel", "initramfs")
SHIM = "usr/local/bin/containerd-shim-spin-v2"
UKI = "uki/metal-arm64-uki.efi"
INSTALLER = "installer/installer-arm64.tar"
ISO = "iso/metal-arm64.iso"
NAMED = ("modules.planned", "runtimes.defined")


def failures(built: Built, expected: Expectation) -> dict[str, tuple[str, ...]]:
    return {check.id: check.evidence for check in verify(built.root, expected).failures}


def caught(built: Built, expected: Expectation, check: str, evidence: str) -> None:
    found = failures(built, expected)
    assert list(found) == [check], found
    assert any(evidence in line for line in found[check]), found[check]


@pytest.mark.parametrize("variant", ["spin-only", "spin-tailscale"])
def test_what_was_built_passes(build: Callable[[str], Built], variant: str) -> None:
    built = build(variant)
    result = verify(built.root, built.expectation())
    assert result.failures == ()
    skipped = {check.id for check in result.checks if check.status == "skip"}
    none = {"overlay.files", "overlay.boot-code", "overlay.arguments", "overlay.installer", "menu.version"}
    none |= {"cmdline.arguments", *OF_SIGNATURES}
    assert skipped <= {"uki.release", "disk.partitions", "extensions.absent"} | none


# In the initramfs


def named(initramfs: Initramfs, extension: str) -> dict[str, Any]:
    return next(layer["metadata"] for layer in initramfs.layers if layer["metadata"]["name"] == extension)


def extension_removed(initramfs: Initramfs) -> None:
    initramfs.files = [file for file in initramfs.files if file.path != initramfs.image("spin")]
    initramfs.layers = [layer for layer in initramfs.layers if layer["metadata"]["name"] != "spin"]


def extension_added(initramfs: Initramfs) -> None:
    initramfs.files.append(File("90.sqsh", samples.squashfs([File("usr/local/etc/hello", b"x")])))
    initramfs.layers.append(samples.layer("90.sqsh", "hello", "v1"))


def extension_of_another_version(initramfs: Initramfs) -> None:
    named(initramfs, "spin")["version"] = "v0.0.1"


def extension_for_amd64(initramfs: Initramfs) -> None:
    def change(files: list[File]) -> list[File]:
        for file in files:
            if file.data.startswith(b"\x7fELF"):
                file.data = file.data[:18] + struct.pack("<H", 62) + file.data[20:]
        return files

    initramfs.change("spin", change)


def extension_for_a_later_talos(initramfs: Initramfs) -> None:
    named(initramfs, "spin")["compatibility"]["talos"]["version"] = ">= v99.0.0"


def extension_twice(initramfs: Initramfs) -> None:
    initramfs.files.append(File("90.sqsh", initramfs[initramfs.image("spin")]))
    initramfs.layers.append(samples.layer("90.sqsh", "spin", named(initramfs, "spin")["version"]))


def with_file(file: File) -> Callable[[Initramfs], None]:
    return lambda initramfs: initramfs.change("spin", lambda files: [*files, file])


def two_extensions_with_one_file(initramfs: Initramfs) -> None:
    initramfs.change("drbd", lambda files: [*files, File(SHIM, samples.elf("arm64", b"other"), 0o755)])


def modules_of_another_kernel(initramfs: Initramfs) -> None:
    def change(files: list[File]) -> list[File]:
        return [
            File(re.sub(r"modules/[^/]+/", "modules/6.1.0-other/", f.path), f.data, f.mode, f.target) for f in files
        ]

    initramfs.change("drbd", change)


def module_built_for_another_kernel(initramfs: Initramfs) -> None:
    def change(files: list[File]) -> list[File]:
        for file in files:
            if ".ko" in file.path:
                packed = file.path.endswith(".xz")
                plain = lzma.decompress(file.data) if packed else file.data
                plain = re.sub(rb"vermagic=6\.\d+", lambda found: found[0][:-1] + b"9", plain)
                file.data = lzma.compress(plain) if packed else plain
        return files

    initramfs.change("drbd", change)


def module_renamed(initramfs: Initramfs) -> None:
    """As where the machine configuration loads a module that no extension brings; its list is made true of it."""

    def change(files: list[File]) -> list[File]:
        return [File(file.path.replace("/zfs.ko", "/zfz.ko"), file.data, file.mode, file.target) for file in files]

    initramfs.change("zfs", change)
    index = unpacked(initramfs["modules.dep.sqsh"])
    for file in index:
        if file.path.endswith("/modules.dep"):
            file.data = file.data.replace(b"/zfs.ko", b"/zfz.ko")
    initramfs["modules.dep.sqsh"] = samples.squashfs(index, block_size=1 << 17)


def module_that_needs_another(initramfs: Initramfs) -> None:
    def change(files: list[File]) -> list[File]:
        for file in files:
            if file.path.endswith("/drbd.ko"):
                found = re.search(rb"\0depends=([^\0]+)", file.data)
                assert found
                file.data = file.data.replace(found[0], b"\0depends=" + b"x" * len(found[1]))
        return files

    initramfs.change("drbd", change)


def runtime_below_the_plugin_of_containerd_1(initramfs: Initramfs) -> None:
    def change(files: list[File]) -> list[File]:
        for file in files:
            if file.path.endswith(".part"):
                file.data = file.data.replace(b"io.containerd.cri.v1.runtime", b"io.containerd.grpc.v1.cri")
        return files

    initramfs.change("spin", change)


def runtime_without_its_shim(initramfs: Initramfs) -> None:
    initramfs.change("spin", lambda files: [file for file in files if file.path != SHIM])


def modules_without_an_index(initramfs: Initramfs) -> None:
    initramfs.files = [file for file in initramfs.files if file.path != "modules.dep.sqsh"]
    initramfs.layers = [layer for layer in initramfs.layers if layer["image"] != "modules.dep.sqsh"]


def image_that_is_not_listed(initramfs: Initramfs) -> None:
    initramfs.files.append(File("90.sqsh", samples.squashfs([File("usr/local/x", b"x")])))


def image_that_is_listed_but_missing(initramfs: Initramfs) -> None:
    initramfs.files = [file for file in initramfs.files if file.path != initramfs.image("spin")]
    next(layer for layer in initramfs.layers if layer["metadata"]["name"] == "spin")["image"] = "90.sqsh"


def stray_file(initramfs: Initramfs) -> None:
    initramfs.files += [File("opt/"), File("opt/stray", b"x")]


def without_root_file_system(initramfs: Initramfs) -> None:
    kept = [file for frame in initramfs.base for file in files_of(frame) if file.path != "rootfs.sqsh"]
    initramfs.base = [samples.zstd(samples.cpio(kept))]


def packed_twice(initramfs: Initramfs) -> None:
    initramfs.base.append(samples.zstd(samples.cpio(initramfs.files)))


IN_THE_INITRAMFS: list[tuple[Callable[[Initramfs], None], str, str]] = [
    (extension_removed, "extensions.planned", "boot/initramfs.xz lacks spin"),
    (extension_added, "extensions.planned", "holds hello, not planned"),
    (extension_of_another_version, "extensions.planned", "holds spin v0.0.1, planned is "),
    (extension_for_amd64, "elf.machine", f"/{SHIM} is an ELF file for amd64"),
    (extension_for_a_later_talos, "extensions.compatible", "spin wants Talos >= v99.0.0, this is v1.13.6"),
    (extension_twice, "extensions.unique", "has spin 2 times"),
    (with_file(File("usr/local/bin/tailscaled", b"x", 0o755)), "extensions.absent", "/usr/local/bin/tailscaled"),
    (with_file(File("opt/stray", b"x")), "extensions.paths", "/opt/stray is outside of the allowed paths"),
    (with_file(File("usr/local/up", target="../../../x")), "extensions.paths", "points to '../../../x'"),
    (with_file(File("usr/local/open", b"x", 0o666)), "extensions.modes", "/usr/local/open has the mode 0666"),
    (two_extensions_with_one_file, "extensions.overlap", f"/{SHIM} is in "),
    (modules_of_another_kernel, "modules.kernel", "is for 6.1.0-other, the kernel is"),
    (module_built_for_another_kernel, "modules.kernel", "was built for 6."),
    (module_renamed, "modules.planned", "the module zfs, which the machine configuration loads, is in no extension"),
    (module_that_needs_another, "modules.dependencies", "/drbd.ko needs the module x"),
    (runtime_below_the_plugin_of_containerd_1, "runtimes.defined", "defines spin below 'io.containerd.grpc.v1.cri'"),
    (runtime_without_its_shim, "runtimes.shims", "spin starts containerd-shim-spin-v2, which is nowhere in the image"),
    (modules_without_an_index, "modules.index", "carry modules, but no modules.dep.sqsh"),
    (image_that_is_not_listed, "extensions.listed", "90.sqsh is there, but extensions.yaml does not list it"),
    (image_that_is_listed_but_missing, "extensions.listed", "lists 90.sqsh, which is not there"),
    (stray_file, "initramfs.nothing-else", "holds /opt/stray"),
    (without_root_file_system, "initramfs.base", "boot/initramfs.xz lacks /rootfs.sqsh"),
    (packed_twice, "initramfs.duplicates", "2 times: the last one hides the others"),
]


@pytest.mark.parametrize(
    ("change", "check", "evidence"), IN_THE_INITRAMFS, ids=[f"{c.__name__}-{i}" for c, i, _ in IN_THE_INITRAMFS]
)
def test_a_broken_initramfs_fails_exactly_the_check_meant_for_it(
    spin_only: Built, tmp_path: Path, change: Callable[[Initramfs], None], check: str, evidence: str
) -> None:
    # What a variant's configuration names of an extension is missed with it: that has tests of its own.
    unnamed: dict[str, Any] = {"kernel_modules": (), "runtime_handlers": ()}
    expected = spin_only.expectation(SMALL).model_copy(update={} if check.startswith(NAMED) else unnamed)
    copy = spin_only.copy(tmp_path / "copy", SMALL)

    def changed(data: bytes) -> bytes:
        initramfs = Initramfs.parse(data)
        change(initramfs)
        return initramfs.write()

    copy.replace("boot/initramfs.xz", changed)
    copy.seal(SMALL)
    caught(copy, expected, check, evidence)


def test_tailscales_image_in_workers_assets_is_caught(spin_only: Built, spin_tailscale: Built, tmp_path: Path) -> None:
    router = spin_tailscale.copy(tmp_path / "copy", SMALL)
    router.seal(SMALL)
    found = failures(router, spin_only.expectation(SMALL))
    assert {"extensions.planned", "extensions.absent"} <= set(found)


# In what boots


def section(data: bytes, name: str) -> slice:
    """Where a section's content lies in a PE file."""
    header = struct.unpack_from("<I", data, 0x3C)[0]
    count, size = struct.unpack_from("<H", data, header + 6)[0], struct.unpack_from("<H", data, header + 20)[0]
    for number in range(count):
        at = header + 24 + size + 40 * number
        if data[at : at + 8].rstrip(b"\0") == name.encode():
            length, _, _, offset = struct.unpack_from("<IIII", data, at + 8)
            return slice(offset, offset + length)
    raise AssertionError(name)


def of_amd64(data: bytes) -> bytes:
    header = struct.unpack_from("<I", data, 0x3C)[0]
    return data[: header + 4] + struct.pack("<H", 0x8664) + data[header + 6 :]


def without_efi(data: bytes) -> bytes:
    header = struct.unpack_from("<I", data, 0x3C)[0]
    return data[:header] + bytes(4) + data[header + 4 :]


def in_section(name: str, change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        where = section(data, name)
        new = change(data[where])
        assert len(new) == where.stop - where.start
        return data[: where.start] + new + data[where.stop :]

    return changed


def last_bit(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def without_firmware(data: bytes) -> bytes:
    """An initramfs that is as long, with the same extensions, but for a few files of firmware."""
    initramfs = Initramfs.parse(data)
    kept = [file for file in initramfs.files if file.path.endswith("/") or "firmware/" not in file.path]
    return (b"".join(initramfs.base) + samples.zstd(samples.cpio(kept))).ljust(len(data), b"\0")


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    assert len(old) == len(new)
    return lambda data: data.replace(old, new)


def renamed_section(data: bytes) -> bytes:
    return data.replace(b".osrel\0\0", b".osrex\0\0", 1)


# In the installer


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: opened.read() for member in archive if (opened := archive.extractfile(member))}


def archive_of(files: dict[str, bytes]) -> bytes:
    return samples.tar([File(name, data) for name, data in files.items()])


def with_config(change: Callable[[dict[str, Any]], None]) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        files = members(data)
        manifest = json.loads(files["manifest.json"])
        config = json.loads(files.pop(manifest[0]["Config"]))
        change(config)
        text = json.dumps(config).encode()
        manifest[0]["Config"] = f"sha256:{hashlib.sha256(text).hexdigest()}"
        return archive_of({manifest[0]["Config"]: text, **files, "manifest.json": json.dumps(manifest).encode()})

    return changed


def with_boot_layer(change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> Callable[[bytes], bytes]:
    """Change the members of the layer that the imager adds, all digests made true of it."""

    def changed(data: bytes) -> bytes:
        files = members(data)
        manifest = json.loads(files["manifest.json"])
        old = manifest[0]["Layers"][-1]
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(files.pop(old)))) as layer:
            inside = [(one, opened.read() if (opened := layer.extractfile(one)) else b"") for one in layer]
        change(inside)
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as layer:
            for info, content in inside:
                info.size = len(content)
                layer.addfile(info, io.BytesIO(content))
        packed = gzip.compress(out.getvalue(), compresslevel=0, mtime=0)
        manifest[0]["Layers"][-1] = f"{hashlib.sha256(packed).hexdigest()}.tar.gz"
        files = {**files, manifest[0]["Layers"][-1]: packed, "manifest.json": json.dumps(manifest).encode()}

        def true(config: dict[str, Any]) -> None:
            config["rootfs"]["diff_ids"][-1] = f"sha256:{hashlib.sha256(out.getvalue()).hexdigest()}"

        return with_config(true)(archive_of(files))

    return changed


def boot_loader_of_amd64(inside: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    inside[:] = [(info, of_amd64(data) if info.name.endswith("systemd-boot.efi") else data) for info, data in inside]


def without_boot_loader(inside: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    inside[:] = [(info, data) for info, data in inside if not info.name.endswith("systemd-boot.efi")]


def of_two_architectures(inside: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    inside.append((tarfile.TarInfo("usr/install/amd64/config"), b"x"))


def first_layer_missing(data: bytes) -> bytes:
    files = members(data)
    manifest = json.loads(files["manifest.json"])
    del files[manifest[0]["Layers"].pop(0)]
    files["manifest.json"] = json.dumps(manifest).encode()

    def true(config: dict[str, Any]) -> None:
        del config["rootfs"]["diff_ids"][0]

    return with_config(true)(archive_of(files))


def layer_of_another_digest(config: dict[str, Any]) -> None:
    config["rootfs"]["diff_ids"].reverse()


IN_WHAT_BOOTS: list[tuple[str, Callable[[bytes], bytes], str, str]] = [
    ("boot/vmlinuz", of_amd64, "kernel.machine", "boot/vmlinuz is for amd64, arm64 is wanted"),
    ("boot/vmlinuz", without_efi, "kernel.machine", "has no EFI header"),
    (UKI, in_section(".linux", last_bit), "kernel.same", f"{UKI}:.linux"),
    (UKI, in_section(".initrd", without_firmware), "initramfs.same", f"{UKI}:.initrd"),
    (UKI, of_amd64, "uki.machine", f"{UKI} is for amd64, arm64 is wanted"),
    (UKI, in_section(".osrel", replaced(b"v1.13.6", b"v1.13.5")), "uki.version", f"{UKI} is Talos v1.13.5"),
    (UKI, renamed_section, "uki.sections", f"{UKI} lacks .osrel"),
    (UKI, in_section(".cmdline", replaced(b"talos.", b"telos.")), "cmdline.arguments", "has no talos.platform="),
    (INSTALLER, with_config(lambda c: c.update(architecture="amd64")), "installer.architecture", "linux/amd64"),
    (
        INSTALLER,
        with_config(lambda c: c["config"]["Labels"].update({"alpha.talos.dev/version": "v1.13.5"})),
        "installer.version",
        "=v1.13.5, v1.13.6 is wanted",
    ),
    (INSTALLER, with_config(layer_of_another_digest), "installer.digests", "the configuration claims"),
    (INSTALLER, first_layer_missing, "installer.entrypoint", "/bin/installer is not in the image"),
    (INSTALLER, with_boot_layer(boot_loader_of_amd64), "boot-loader.machine", "systemd-boot.efi is for amd64"),
    (INSTALLER, with_boot_layer(without_boot_loader), "installer.boot-files", "lacks /usr/install/arm64/systemd-boot"),
    (INSTALLER, with_boot_layer(of_two_architectures), "installer.boot-files", "holds /usr/install/amd64/config"),
    (ISO, replaced(b"BOOTAA64.EFI", b"BOOTXX64.EFI"), "media.bootable", "has no boot loader at /efi/boot/bootaa64.efi"),
]


@pytest.mark.parametrize(
    ("path", "change", "check", "evidence"), IN_WHAT_BOOTS, ids=[f"{n}-{row[2]}" for n, row in enumerate(IN_WHAT_BOOTS)]
)
def test_a_broken_boot_file_fails_exactly_the_check_meant_for_it(
    spin_only: Built, tmp_path: Path, path: str, change: Callable[[bytes], bytes], check: str, evidence: str
) -> None:
    # The kernel is broken where nothing embeds it, and the others where nothing else does.
    outputs = {"boot/vmlinuz": SMALL, UKI: ("kernel", "initramfs", "uki"), INSTALLER: ("installer",), ISO: ("iso",)}[
        path
    ]
    expected = spin_only.expectation(outputs)
    copy = spin_only.copy(tmp_path / "copy", outputs)
    copy.replace(path, change)
    copy.seal(outputs)
    caught(copy, expected, check, evidence)


# In the papers


def stand_in_file_missing(root: Path) -> None:
    (root / "STAND-IN.txt").unlink()


@pytest.mark.parametrize(
    ("change", "check", "evidence"),
    [
        (later.checksum_line_missing, "checksums.complete", "is not listed"),
        (later.checksum_line_twice, "checksums.complete", "is listed 2 times"),
        (later.checksum_of_a_file_that_is_not_there, "checksums.complete", "boot/gone is listed, but is not there"),
        (later.checksum_file_missing, "checksums.complete", "checksums.sha256 is missing"),
        (later.checksum_untrue, "checksums.true", ": 000000000000"),
        (later.file_beside, "layout.nothing-else", "boot/extra is not in the plan"),
        (later.report_missing, "report.agrees", "validation/build-report.json is missing"),
        (later.provenance_of_another_file, "provenance.agrees", "boot/vmlinux is not there, stated is"),
        (later.sbom_without_an_extension, "sbom.complete", "does not name spin"),
        (later.report_text_missing, "report.agrees", "validation/build-report.txt is missing"),
        (stand_in_file_missing, "report.stand-in", "there is no STAND-IN.txt"),
    ],
)  # fmt: skip
def test_broken_papers_fail_exactly_the_check_meant_for_them(
    spin_only: Built, booted: Built, tmp_path: Path, change: Callable[[Path], None], check: str, evidence: str
) -> None:
    copy = booted.copy(tmp_path / "copy")
    change(copy.root)
    if check == "report.stand-in":
        if not spin_only.plan.stand_in:
            pytest.skip("what was built is no stand-in")
        copy.seal()
    caught(copy, spin_only.expectation(SMALL), check, evidence)
