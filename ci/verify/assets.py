"""The findings of an inspection in the order in which the checks ask for them."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Generic, TypeVar

from ci.common.filenames import CHECKSUMS, MODULES_IMAGE, REPORT, STAND_IN
from ci.common.pins import STAND_IN_LABEL
from ci.inspect.inspect import inspect_path
from ci.inspect.limits import MIB
from ci.inspect.models import (
    ArchiveFacts,
    CmdlineFacts,
    DiskFacts,
    EfiFacts,
    ExtensionFacts,
    Facts,
    FolderFacts,
    ImageFacts,
    InitramfsFacts,
    Inspection,
    IsoFacts,
    KernelFacts,
    LayerFacts,
    MenuFacts,
    SquashfsFacts,
    UkiFacts,
    UnreadableFacts,
)
from ci.plan.expectation import Expectation
from ci.verify.checksums import file_digests
from ci.verify.model import Part, VerifyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from ci.inspect.models import Entry

#: Bytes of a report or a list of checksums.
_LONGEST_TEXT = 64 * MIB

#: What boots, or is given to what boots. What can't be read may have been one: a separate check reports it.
_ASSETS = (
    KernelFacts,
    InitramfsFacts,
    CmdlineFacts,
    UkiFacts,
    IsoFacts,
    DiskFacts,
    ImageFacts,
    UnreadableFacts,
)

#: How each part is found.
_PARTS: Mapping[Part, tuple[type[Facts], ...]] = {
    Part.KERNEL: (KernelFacts,),
    Part.INITRAMFS: (InitramfsFacts,),
    Part.UKI: (UkiFacts,),
    Part.MENU: (MenuFacts,),
    Part.LOADER: (EfiFacts,),
    Part.IMAGE: (ImageFacts,),
    Part.MEDIUM: (IsoFacts, DiskFacts),
    Part.DISK: (DiskFacts,),
}

#: What a disk that starts with GRUB has in a separate partition.
_BESIDE_GRUB = {Part.KERNEL, Part.INITRAMFS, Part.CMDLINE, Part.MENU}

_Facts = TypeVar("_Facts", bound=Facts)


@dataclass(frozen=True)
class Found(Generic[_Facts]):
    """Something inside the assets: where it is, its bytes' digest and what it is."""

    path: str
    sha256: str
    facts: _Facts
    node: Inspection


@dataclass(frozen=True)
class Extension:
    """A squashfs image of an initramfs and what `extensions.yaml` calls it."""

    layer: LayerFacts
    path: str
    #: `None` where the listed image is not there.
    squashfs: SquashfsFacts | None


class Assets:
    """A folder of boot assets, inspected; the same bytes in two outputs are read once."""

    def __init__(self, inspection: Inspection, root: Path, signed: Mapping[str, str | None] | None = None) -> None:
        self.inspection = inspection
        self.root = root
        #: What cosign says of the files that have a detached signature, by path: `None`, or why the key did not sign
        #: them. `None` where no key was given.
        self.signed = signed
        self.digests = file_digests(inspection, root)
        originals = {node.sha256: node for _, node in inspection.walk() if node.same_as is None}
        self._nodes = [found for node in inspection.contents for found in _walk(node, "", originals)]
        self.files = {node.name: node for node in inspection.contents}

    def of(self, kind: type[_Facts]) -> list[Found[_Facts]]:
        """Return all of one kind, wherever they are, repeated bytes included."""
        return [
            Found(path, node.sha256, node.facts, node) for path, node in self._nodes if isinstance(node.facts, kind)
        ]

    def distinct(self, kind: type[_Facts]) -> list[Found[_Facts]]:
        """Return all of one kind, the same bytes only once."""
        first: dict[str, Found[_Facts]] = {}
        for found in self.of(kind):
            first.setdefault(found.sha256 or found.path, found)
        return list(first.values())

    def has(self, part: Part) -> bool:
        """Return whether a part is there, as far as everything was read."""
        if part is Part.CMDLINE:
            return bool(self.cmdlines())
        return part is Part.FILE or any(self.of(kind) for kind in _PARTS[part])

    def unread(self, parts: Iterable[Part]) -> list[str]:
        """Return where such parts may be and nothing was read, each place with the reason."""
        if not set(parts) & _BESIDE_GRUB:
            return []
        return [
            f"{disk.path}: the partition {partition.name or partition.number} is not read ({partition.reason})"
            for disk in self.of(DiskFacts)
            for partition in disk.facts.unread
        ]

    @property
    def kernels(self) -> list[Found[KernelFacts]]:
        """All kernels."""
        return self.of(KernelFacts)

    @property
    def initramfs(self) -> list[Found[InitramfsFacts]]:
        """All initramfs, repeated bytes included."""
        return self.of(InitramfsFacts)

    @property
    def ukis(self) -> list[Found[UkiFacts]]:
        """All unified kernel images, repeated bytes included."""
        return self.of(UkiFacts)

    @property
    def loaders(self) -> list[Found[EfiFacts]]:
        """All boot loaders and other EFI programs."""
        return self.of(EfiFacts)

    @property
    def images(self) -> list[Found[ImageFacts]]:
        """All container images."""
        return self.of(ImageFacts)

    @property
    def media(self) -> list[Found[IsoFacts] | Found[DiskFacts]]:
        """All ISOs and disk images."""
        return [*self.of(IsoFacts), *self.of(DiskFacts)]

    def cmdlines(self) -> list[tuple[str, str]]:
        """Return every kernel command line with its place; a UKI's own comes before those of its further profiles."""
        lines: list[tuple[str, str]] = []
        for uki in self.ukis:
            own = [] if uki.facts.cmdline is None else [uki.facts.cmdline]
            for number, line in enumerate([*own, *uki.facts.more_cmdlines], start=1):
                lines.append((f"{uki.path}:.cmdline" + (f" ({number})" if number > 1 else ""), line))
        for menu in self.of(MenuFacts):
            lines += [(f"{menu.path} ({entry.title})", entry.cmdline) for entry in menu.facts.entries]
        return lines + [(found.path, found.facts.cmdline) for found in self.of(CmdlineFacts)]

    def images_of(self, initramfs: Found[InitramfsFacts]) -> dict[str, SquashfsFacts]:
        """Return the squashfs images of an initramfs by name."""
        return {node.name: node.facts for node in initramfs.node.contents if isinstance(node.facts, SquashfsFacts)}

    def extensions(self, initramfs: Found[InitramfsFacts]) -> list[Extension]:
        """Return what `extensions.yaml` lists, but for the index of modules."""
        images = self.images_of(initramfs)
        return [
            Extension(layer, f"{initramfs.path}:{layer.image}", images.get(layer.image))
            for layer in initramfs.facts.layers or ()
            if layer.image != MODULES_IMAGE
        ]

    def trees(self) -> list[tuple[str, tuple[Entry, ...]]]:
        """Return every file tree that runs on a node or installs one, the same bytes once."""
        found: list[tuple[str, tuple[Entry, ...]]] = []
        for initramfs in self.distinct(InitramfsFacts):
            entries = tuple(entry for frame in initramfs.facts.frames for entry in frame.entries)
            found.append((initramfs.path, entries))
            found += [(f"{initramfs.path}:{name}", image.entries) for name, image in self.images_of(initramfs).items()]
        return found + [(image.path, image.facts.entries) for image in self.images]

    def names(self) -> list[tuple[str, tuple[Entry, ...]]]:
        """Return every list of names that was read, those of media and archives included, the same bytes once."""
        first: dict[str, tuple[str, tuple[Entry, ...]]] = {}
        for path, node in self._nodes:
            if entries := _names(node.facts):
                first.setdefault(node.sha256 or path, (path, entries))
        return list(first.values())

    @property
    def arch(self) -> str | None:
        """What most of the assets are for; where only boot loaders tell, they do."""
        votes = Counter[str](kernel.facts.machine for kernel in self.kernels)
        votes.update(uki.facts.machine for uki in self.ukis)
        votes.update(image.facts.architecture for image in self.images)
        votes.update(
            entry.machine
            for initramfs in self.initramfs
            for frame in initramfs.facts.frames
            for entry in frame.entries
            if entry.path == "init" and entry.machine
        )
        votes = votes or Counter[str](loader.facts.machine for loader in self.loaders)
        return votes.most_common(1)[0][0] if votes else None

    @property
    def talos(self) -> str | None:
        """The Talos version that most of the outputs name."""
        votes = Counter[str](v for uki in self.ukis if (v := uki.facts.osrel.get("VERSION_ID")))
        votes.update(v for image in self.images if (v := image.facts.labels.get("alpha.talos.dev/version")))
        return votes.most_common(1)[0][0] if votes else None

    @property
    def stand_in(self) -> bool:
        """Whether anything here says that the assets are stand-ins."""
        return STAND_IN in self.files or any(STAND_IN_LABEL in image.facts.labels for image in self.images)

    def text(self, path: str) -> str | None:
        """Return a text file's content whatever kind it was taken for, `None` where there is none."""
        node = self.files.get(path)
        if node is None or node.size > _LONGEST_TEXT:
            return None
        return (self.root / path).read_text(encoding="utf-8", errors="replace")


def _names(facts: Facts) -> tuple[Entry, ...]:
    if isinstance(facts, InitramfsFacts):
        return tuple(entry for frame in facts.frames for entry in frame.entries)
    if isinstance(facts, DiskFacts):
        return tuple(entry for partition in facts.partitions for entry in partition.entries)
    if isinstance(facts, (SquashfsFacts, ImageFacts, IsoFacts, ExtensionFacts, ArchiveFacts)):
        return facts.entries
    return ()


def _walk(node: Inspection, above: str, originals: Mapping[str, Inspection]) -> Iterator[tuple[str, Inspection]]:
    """Yield a node and all inside it with their paths; what was read once is found at each of its places."""
    path = f"{above}:{node.name}" if above else node.name
    node = originals.get(node.sha256, node) if node.sha256 else node
    yield path, node
    for inner in node.contents:
        yield from _walk(inner, path, originals)


def find_root(folder: Path) -> Path:
    """Return the folder with the assets: the one given, or the only `talos/<arch>` below it."""
    if not folder.is_dir():
        raise VerifyError(f"{folder}: no such folder: give the one that `build` exported")
    if (folder / "boot").is_dir() or (folder / CHECKSUMS).exists():
        return folder
    marks = [*folder.glob("**/talos/*/boot")] or [*folder.rglob(CHECKSUMS)]
    below = sorted({path.parent for path in marks})
    if len(below) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in below)
        raise VerifyError(f"{folder}: holds assets of several architectures ({names}): give one of these folders")
    return below[0] if below else folder


def read_assets(folder: Path, signed: Mapping[str, str | None] | None = None) -> Assets:
    """Inspect the assets in or below a folder; `signed` is what cosign says of its files, by path below the folder."""
    root = find_root(folder)
    inspection = inspect_path(root)
    if not isinstance(inspection.facts, FolderFacts):
        raise VerifyError(f"{root}: is a {inspection.kind}, not a folder of assets: put it in an empty folder")
    if not inspection.contents:
        raise VerifyError(f"{root}: holds no files: give the folder that `build` exported")
    if signed is not None:
        place = root.relative_to(folder)
        below = ((PurePosixPath(path), reason) for path, reason in signed.items())
        signed = {str(path.relative_to(place)): reason for path, reason in below if path.is_relative_to(place)}
    return Assets(inspection, root, signed)


def check_boots(assets: Assets) -> None:
    """Raise `VerifyError` where nothing is there that boots: a wrong path would pass checks that have no object."""
    if any(assets.of(kind) for kind in _ASSETS):
        return
    kinds = ", ".join(sorted({node.kind for node in assets.inspection.contents}))
    raise VerifyError(
        f"{assets.root}: holds no boot assets: no kernel, initramfs, kernel command line, unified kernel image, ISO, "
        f"disk or container image is there, only {kinds}: give the folder that `build` exported, or one of its files"
    )


def expected_of(assets: Assets, expectation: Expectation | None) -> Expectation:
    """Return the expectation, what it leaves open filled in from the assets: they must agree with themselves.

    What they don't tell, their report may: a kernel names no Talos version, a command line no architecture either.
    """
    given = expectation or Expectation()
    arch = given.arch or (assets.arch if assets.arch in ("arm64", "amd64") else None)
    talos = given.talos or assets.talos
    if arch is None or talos is None:
        reported = _reported(assets)
        arch, talos = arch or reported.arch, talos or reported.talos
    return given.model_copy(update={"arch": arch, "talos": talos})


def _reported(assets: Assets) -> Expectation:
    """Return what the report says that the assets are for; one that can't be read is for a check to say."""
    with suppress(ValueError, AttributeError):
        document = json.loads(assets.text(REPORT) or "{}")
        return Expectation(arch=document.get("arch"), talos=document.get("talos"))
    return Expectation()
