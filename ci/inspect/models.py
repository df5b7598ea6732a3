"""What the readers find: plain values that print, compare and go through JSON unchanged."""

from __future__ import annotations

import operator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Facts(BaseModel):
    """Base of all findings: immutable, and strict about unknown keys when read back."""

    model_config = ConfigDict(frozen=True, extra="forbid")


EntryType = Literal["file", "directory", "symlink", "hardlink", "character", "block", "fifo", "socket", "whiteout"]


class Entry(Facts):
    """One name in an archive or file system."""

    path: str
    type: EntryType
    #: Permission bits, set-uid and such included.
    mode: int
    uid: int = 0
    gid: int = 0
    #: Bytes of a file's content.
    size: int = 0
    #: What a link points to.
    target: str | None = None
    #: Seconds since 1970.
    mtime: int | None = None
    sha256: str | None = None
    #: Machine of an ELF file, as `arm64`, `amd64` or `0x…`.
    machine: str | None = None
    #: A kernel module's `vermagic`: the kernel release that it was built for.
    vermagic: str | None = None
    #: Modules that a kernel module needs, by name; `None` for anything else.
    depends: tuple[str, ...] | None = None


class FrameFacts(Facts):
    """One compressed (or plain) part of an initramfs."""

    compression: Literal["none", "zstd", "xz", "gzip"]
    offset: int
    size: int
    expanded: int
    entries: tuple[Entry, ...]


class LayerFacts(Facts):
    """One entry of `extensions.yaml`: an image that Talos mounts over its root."""

    image: str
    name: str
    version: str
    author: str = ""
    description: str = ""
    #: Constraint on the Talos version; empty means any.
    compatibility: str = ""


class InitramfsFacts(Facts):
    """The frames of an initramfs; its squashfs images are the inspection's contents."""

    kind: Literal["initramfs"] = "initramfs"
    frames: tuple[FrameFacts, ...]
    #: `extensions.yaml`; `None` where there is no such file.
    layers: tuple[LayerFacts, ...] | None = None


class SquashfsFacts(Facts):
    """A squashfs image."""

    kind: Literal["squashfs"] = "squashfs"
    compression: str
    block_size: int
    #: Seconds since 1970.
    created: int
    entries: tuple[Entry, ...]
    #: SPDX documents by path, where Talos looks for them; too long for a listing, so no part of the JSON.
    documents: dict[str, str] = Field(default_factory=dict, exclude=True, repr=False)
    #: Texts that say what the image brings, by path (`ci.inspect.texts`); no part of the JSON either.
    texts: dict[str, str] = Field(default_factory=dict, exclude=True, repr=False)


class KernelFacts(Facts):
    """A Linux kernel."""

    kind: Literal["kernel"] = "kernel"
    #: How the kernel is packed.
    format: Literal["arm64-image", "arm64-zboot", "x86-bzimage", "arm64-image-gzip"]
    machine: str
    #: Whether firmware can start it.
    efi: bool
    #: The release, as `uname -r` says it; `None` where the banner was not found.
    version: str | None = None


class SectionFacts(Facts):
    """One section of a PE file."""

    name: str
    offset: int
    size: int
    sha256: str


class EfiFacts(Facts):
    """A PE file that is neither a kernel nor a unified kernel image: a boot loader, a stub."""

    kind: Literal["efi"] = "efi"
    machine: str
    sections: tuple[SectionFacts, ...]
    #: The `.sbat` section.
    sbat: str | None = None


class UkiFacts(Facts):
    """A unified kernel image; its kernel and initramfs are the inspection's contents."""

    kind: Literal["uki"] = "uki"
    machine: str
    sections: tuple[SectionFacts, ...]
    cmdline: str | None = None
    uname: str | None = None
    #: Fields of the `.osrel` section.
    osrel: dict[str, str]
    #: Command lines of further profiles, in order.
    more_cmdlines: tuple[str, ...] = ()
    kernel_sha256: str | None = None
    initramfs_sha256: str | None = None


class ImageLayer(Facts):
    """One layer of a container image."""

    #: Name in the archive or digest in the layout.
    blob: str
    compression: Literal["none", "zstd", "gzip"]
    size: int
    sha256: str
    #: Digest of the expanded layer, as it was counted, not as it is claimed.
    diff_id: str
    entries: tuple[Entry, ...]


class ImageFacts(Facts):
    """A container image of one platform."""

    kind: Literal["image"] = "image"
    format: Literal["docker-archive", "oci-layout"]
    tags: tuple[str, ...]
    architecture: str
    os: str
    created: str | None = None
    labels: dict[str, str]
    env: tuple[str, ...]
    entrypoint: tuple[str, ...]
    #: Digests of the expanded layers, as the configuration claims.
    diff_ids: tuple[str, ...]
    config_sha256: str
    #: Blob digests, as the manifest or the configuration's name claims, by blob.
    claimed: dict[str, str]
    layers: tuple[ImageLayer, ...]
    #: The merged file tree: what a container of this image would see.
    entries: tuple[Entry, ...]


class ExtensionFacts(Facts):
    """A system extension before it is packed: `manifest.yaml` and `rootfs/`."""

    kind: Literal["extension"] = "extension"
    manifest_version: str
    name: str
    version: str
    author: str
    description: str
    compatibility: str
    #: Names below `rootfs/`.
    entries: tuple[Entry, ...]
    #: Names next to `manifest.yaml` and `rootfs/`.
    strays: tuple[str, ...]
    #: Texts that say what the extension brings, by path below `rootfs/` (`ci.inspect.texts`); no part of the JSON.
    texts: dict[str, str] = Field(default_factory=dict, exclude=True, repr=False)


class IsoFacts(Facts):
    """An ISO 9660 image; boot files are the inspection's contents."""

    kind: Literal["iso"] = "iso"
    volume: str
    entries: tuple[Entry, ...]


FileSystem = Literal["fat", "xfs", "squashfs"]


class PartitionFacts(Facts):
    """One partition of a disk."""

    number: int
    name: str
    #: `esp`, `linux` or the type's GUID.
    type: str
    offset: int
    size: int
    #: The file system whose names are in `entries`; `None` where the partition holds none that was read.
    filesystem: FileSystem | None = None
    entries: tuple[Entry, ...] = ()


class UnreadPartition(Facts):
    """A partition that holds something, and none of its names were read: what boots may be in there."""

    number: int
    name: str
    #: `esp`, `linux` or the type's GUID, as in `PartitionFacts`.
    type: str
    #: What is known of its content, and why it was not read.
    reason: str


#: What a disk is stored as: a tar is Google Cloud's, with the raw disk in it.
StoredAs = Literal["raw", "qcow2", "vhd", "vmdk", "ova", "tar"]


class DiskFacts(Facts):
    """A disk image with a GUID partition table; boot files are the inspection's contents."""

    kind: Literal["disk"] = "disk"
    compression: Literal["none", "zstd", "xz", "gzip"]
    #: What the disk is stored as, inside of the compression.
    format: StoredAs = "raw"
    #: Bytes of the expanded disk.
    capacity: int
    partitions: tuple[PartitionFacts, ...]
    #: Those of `partitions` that may hold boot files and were not read, in the table's order.
    unread: tuple[UnreadPartition, ...] = ()
    #: The bytes before the first partition, without empty bytes at the end: boards have boot code there. It is too
    #: long for a listing, so no part of the JSON.
    start: bytes = Field(default=b"", exclude=True, repr=False)


class ArchiveFacts(Facts):
    """A tar that is no image: a root file system, a set of files."""

    kind: Literal["archive"] = "archive"
    entries: tuple[Entry, ...]


class TextFacts(Facts):
    """A short UTF-8 text."""

    kind: Literal["text"] = "text"
    text: str


def _is_empty(value: tuple[str, ...]) -> bool:
    return not value


class CmdlineFacts(Facts):
    """A kernel command line in a text: alone, or in a script of iPXE, which names kernel and initramfs, too."""

    kind: Literal["cmdline"] = "cmdline"
    cmdline: str
    #: As the script has them: the kernel, and what is loaded behind it.
    boots: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)


class MenuEntry(Facts):
    """One entry of GRUB's menu."""

    title: str
    #: Path of the kernel, as the menu has it.
    kernel: str
    cmdline: str
    #: Paths of what follows the kernel into memory.
    initrd: tuple[str, ...] = ()


class MenuFacts(Facts):
    """GRUB's menu: the kernels that a medium starts without a unified kernel image, and their command lines."""

    kind: Literal["menu"] = "menu"
    entries: tuple[MenuEntry, ...]


class ElfFacts(Facts):
    """An ELF file."""

    kind: Literal["elf"] = "elf"
    machine: str


class DataFacts(Facts):
    """Bytes of no kind that matters here."""

    kind: Literal["data"] = "data"
    #: The first 16 bytes in hexadecimal.
    head: str


class FolderFacts(Facts):
    """A folder of assets; its files are the inspection's contents."""

    kind: Literal["folder"] = "folder"
    #: Directories, links and special files; files are the inspection's contents.
    entries: tuple[Entry, ...]


class UnreadableFacts(Facts):
    """A file of a folder that its reader refused."""

    kind: Literal["unreadable"] = "unreadable"
    error: str


AnyFacts = Annotated[
    InitramfsFacts
    | SquashfsFacts
    | KernelFacts
    | EfiFacts
    | UkiFacts
    | ImageFacts
    | ExtensionFacts
    | IsoFacts
    | DiskFacts
    | ArchiveFacts
    | TextFacts
    | CmdlineFacts
    | MenuFacts
    | ElfFacts
    | DataFacts
    | FolderFacts
    | UnreadableFacts,
    Field(discriminator="kind"),
]


class Inspection(Facts):
    """One file (or folder, or section) and what is inside it."""

    #: The name inside what contains it; of the outermost, the path as given.
    name: str
    size: int
    #: Digest of the bytes; empty for a folder.
    sha256: str
    facts: AnyFacts
    #: What was read inside: a UKI's kernel and initramfs, an initramfs's squashfs images, a folder's files.
    contents: tuple[Inspection, ...] = ()
    #: Set where the same bytes were read before in this inspection: the path of the first; `contents` is empty then.
    same_as: str | None = None
    #: Programs in it that were read without their signatures, by path; of one that is such itself the empty one.
    unsigned: tuple[str, ...] = Field(default=(), exclude_if=operator.not_)

    @property
    def kind(self) -> str:
        """What the bytes are."""
        return self.facts.kind

    def walk(self, path: str = "") -> list[tuple[str, Inspection]]:
        """Return this and all that is inside it, each with its path, in order."""
        here = f"{path}:{self.name}" if path else self.name
        found: list[tuple[str, Inspection]] = [(here, self)]
        for inner in self.contents:
            below = inner.walk("" if self.kind == "folder" else here)
            found += [(f"{here}/{name}" if self.kind == "folder" else name, node) for name, node in below]
        return found
