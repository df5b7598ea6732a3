"""Extension images in files on the user's machine, instead of in a registry."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import dagger
from dagger import dag

from ci.common.concurrency import gather_each
from ci.common.deferred import deferred
from ci.common.errors import UserError, said
from ci.common.text import escaped
from ci.execute import commands
from ci.execute.tools import base
from ci.inspect.errors import InspectError
from ci.resolve.model import FileExtension

with deferred():
    from ci.inspect import manifest as manifests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci.common.arch import Arch

MANIFEST: Final = "manifest.yaml"
#: Folder of an extension's files.
ROOT: Final = "rootfs"
#: What a folder of the OCI layout has besides its blobs (OCI image specification, image-layout.md).
INDEX: Final = "index.json"
LAYOUT_FILES: Final = (INDEX, "oci-layout")
#: Annotations in which tools note what an image is called (OCI image specification, annotations.md; containerd).
_NAMES: Final = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_LARGEST_INDEX: Final = 1 << 20
#: Entries of a folder that are named, and characters of a name.
_FEW: Final = 3
_SEEN: Final = 100

_HOW_ARCHIVES: Final = "give an archive as `docker save`, `crane pull` or `skopeo copy … oci-archive:` write it"
_HOW_LAYOUTS: Final = "give a folder as `crane pull --format oci` or `skopeo copy … oci:` write it"


@dataclass(frozen=True)
class _Archive:
    """A file that is to hold an image."""

    #: In the plan.
    name: str
    #: In errors: what the user gave.
    called: str
    file: dagger.File
    #: How such a one is made.
    how: str


@dataclass(frozen=True)
class LocalImage:
    """An extension image in a file: what is planned with it, and its file tree."""

    extension: FileExtension
    root: dagger.Directory


async def read_local_images(
    files: Sequence[dagger.File], layouts: Sequence[dagger.Directory], arch: Arch
) -> tuple[LocalImage, ...]:
    """Read image archives (`docker save`, `crane pull`, OCI) and folders of the OCI layout, in the order given.

    Raises `UserError` for what is no image or no extension, `UserError` for an image of another
    architecture.
    """
    archives: list[_Archive] = []
    for file in files:
        name = escaped(await file.name())
        archives.append(_Archive(name, name, file, _HOW_ARCHIVES))
    for number, layout in enumerate(layouts, start=1):
        called = f"--extension-layout, folder {number} of {len(layouts)} ({await _seen(layout)})"
        await _check_layout(called, layout)
        archives.append(_Archive(f"layout-{number}", called, _packed(layout), _HOW_LAYOUTS))

    async def read(archive: _Archive) -> LocalImage:
        return await _read(archive, arch)

    return tuple(await gather_each(read, archives))


async def _seen(layout: dagger.Directory) -> str:
    """Say what is in a folder by which its user knows it: the API does not give the path by which it was named."""
    entries = await layout.entries()
    found = await _image(layout) if INDEX in entries else ""
    if found:
        return f"image {escaped(found, most=_SEEN)}"
    shown = ", ".join(escaped(name, most=_SEEN) for name in entries[:_FEW])
    return f"with {shown}{f' and {len(entries) - _FEW} more' if len(entries) > _FEW else ''}" if entries else "empty"


async def _image(layout: dagger.Directory) -> str:
    """Return what the first image of a layout is called, else its digest; nothing where neither can be read."""
    file = layout.file(INDEX)
    if await file.size() > _LARGEST_INDEX:
        return ""
    try:
        descriptor: Any = json.loads(await file.contents())["manifests"][0]
        names: Any = descriptor.get("annotations") or {}
        return str(next((names[key] for key in _NAMES if names.get(key)), None) or descriptor["digest"])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return ""


async def _check_layout(called: str, layout: dagger.Directory) -> None:
    """Raise for a folder that is not one: the engine would complain about a file that the user did not give."""
    entries = await layout.entries()
    for marker in LAYOUT_FILES:
        if marker not in entries:
            raise UserError(f"{called}: no OCI layout: it has no {marker}; {_HOW_LAYOUTS}")


def _packed(layout: dagger.Directory) -> dagger.File:
    container = base().with_mounted_directory("/layout", layout)
    return container.with_exec(commands.tar("/layout", "/out/layout.tar", 0)).file("/out/layout.tar")


async def _read(archive: _Archive, arch: Arch) -> LocalImage:
    called = archive.called
    container = dag.container(platform=dagger.Platform(arch.platform)).import_(archive.file)
    try:
        platform = str(await container.platform())
    except dagger.QueryError as error:
        raise UserError(
            f"{called}: no image for {arch.platform} can be read from it; {archive.how}. The engine says: {said(error)}"
        ) from None
    if not platform.startswith(arch.platform):
        raise UserError(f"{called}: the image is for {platform}; the build is for {arch.platform}")
    root = container.rootfs()
    if not await root.exists(MANIFEST):
        raise UserError(f"{called}: no system extension: the image has no /{MANIFEST}")
    if not await root.exists(ROOT):
        raise UserError(f"{called}: no system extension: the image has no /{ROOT}, the folder of its files")
    try:
        manifest = manifests.parse_manifest(f"{called}:/{MANIFEST}", (await root.file(MANIFEST).contents()).encode())
    except InspectError as error:
        raise UserError(str(error)) from None
    summed = await base().with_mounted_file("/archive", archive.file).with_exec(commands.sha256("/archive")).stdout()
    extension = FileExtension(
        name=manifest.metadata.name,
        version=manifest.metadata.version,
        file=archive.name,
        digest=f"sha256:{summed.split()[0]}",
    )
    return LocalImage(extension, root)
