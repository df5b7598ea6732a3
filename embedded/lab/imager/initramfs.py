"""Appends system extensions to an initramfs as a second, zstd-compressed archive; the base stays as it is."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import goyaml
from .errors import ImagerError
from .extensions import Extension, load_all, print_all, validate_all
from .modules import copy_tree, dependency_extension, remove
from .tools import pipe, run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .contract import Contract, Quirks
    from .report import Progress

CPIO = ("cpio", "-H", "newc", "--create", "--reproducible", "--quiet", "-R", "+0:+0")
ZSTD = ("zstd", "-T0", "-18", "-c", "--quiet")
_COMPRESSION = ("-comp", "zstd", "-Xcompression-level", "18")
# Early microcode goes uncompressed before all else, joined into the one file a vendor that the kernel looks for.
_MICROCODE = (
    ("intel-ucode/*", "kernel/x86/microcode/GenuineIntel.bin"),
    ("amd-ucode/microcode_amd*.bin", "kernel/x86/microcode/AuthenticAMD.bin"),
)


@dataclass(frozen=True)
class InitramfsBuilder:
    """Rebuilds one initramfs in place."""

    initramfs: Path
    contract: Contract
    quirks: Quirks
    progress: Progress

    def build(self, tree: Path, labels: Mapping[Path, str]) -> None:
        """Adds the extensions unpacked below a folder; `labels` are their files' SELinux labels.

        Raises ImagerError for a bad extension or when a tool fails.
        """
        extensions = load_all(tree)
        print_all(extensions, self.progress)
        validate_all(extensions, self.quirks, self.contract, self.progress)
        folders = [extension.rootfs / self.quirks.modules_path for extension in extensions]
        with_modules = [folder for folder in folders if folder.exists()]
        with (
            tempfile.TemporaryDirectory(prefix="ext-modules") as scratch,
            tempfile.TemporaryDirectory(prefix="ext") as new,
        ):
            if with_modules:
                extensions.append(
                    dependency_extension(
                        with_modules, self.initramfs, Path(scratch), self.quirks.modules_path, self.progress
                    )
                )
            contents = Path(new)
            self.progress("compressing system extensions")
            for extension in extensions:
                try:
                    self._compress(extension, contents, labels)
                except ImagerError as error:
                    raise ImagerError(f'error compressing extension "{extension.metadata.name}": {error}') from None
            (contents / "extensions.yaml").write_text(_extensions_yaml(extensions))
            self._append(contents)

    def _compress(self, extension: Extension, contents: Path, labels: Mapping[Path, str]) -> None:
        self._move_microcode(extension, contents)
        firmware = extension.rootfs / self.quirks.firmware_path
        if firmware.exists():
            copy_tree(firmware, contents / self.quirks.firmware_path, remove)
        target = contents / f"{extension.slot}.sqsh"
        flags = ["-all-root", "-noappend", "-no-progress", *_COMPRESSION]
        if self.contract.explicit_xattrs:
            flags += _label_flags(extension.rootfs, labels)
        run(["mksquashfs", extension.rootfs, target, *flags])

    def _move_microcode(self, extension: Extension, contents: Path) -> None:
        for pattern, destination in _MICROCODE:
            blobs = sorted((extension.rootfs / self.quirks.firmware_path).glob(pattern))
            if not blobs:
                continue
            target = contents / destination
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("ab") as file:
                for blob in blobs:
                    file.write(blob.read_bytes())
                    blob.unlink()

    def _append(self, contents: Path) -> None:
        names = [str(path.relative_to(contents)) for path in _walk(contents)]
        early = [name for name in names if name == "kernel" or name.startswith("kernel/")]
        rest = [name for name in names if name not in early]
        if early:
            self.progress("creating uncompressed initramfs archive")
            archive = run(CPIO, cwd=contents, stdin=_listing(early))
            self.initramfs.write_bytes(archive + self.initramfs.read_bytes())
        self.progress("creating system extensions initramfs archive and compressing it")
        try:
            pipe(CPIO, ZSTD, stdin=_listing(rest), append_to=self.initramfs, cwd=contents)
        except ImagerError as error:
            raise ImagerError(f"error appending compressed initramfs: {error}") from None


def _walk(folder: Path) -> list[Path]:
    """Lists what is below a folder, each folder before what it holds, names in order."""
    found: list[Path] = []
    for item in sorted(folder.iterdir()):
        found.append(item)
        if item.is_dir():
            found += _walk(item)
    return found


def _listing(names: list[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


def _label_flags(rootfs: Path, labels: Mapping[Path, str]) -> list[str]:
    flags = ["-xattrs-exclude", ".*"]
    for path, label in labels.items():
        if path.is_relative_to(rootfs) and (path.exists() or path.is_symlink()):
            inside = "/" if path == rootfs else str(path.relative_to(rootfs))
            flags += ["-p", f"{inside} x security.selinux={label}"]
    return flags


def _extensions_yaml(extensions: list[Extension]) -> str:
    layers = [{"image": f"{item.slot}.sqsh", "metadata": item.metadata.echo()} for item in extensions]
    return goyaml.dump({"layers": layers}, indent=4)
