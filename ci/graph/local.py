"""Extension images that lie in files on the user's machine, instead of a registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import dagger
from dagger import dag

from ci import commands
from ci.at_once import at_once
from ci.errors import CozystackTalosError, ForeignArchitectureError, said
from ci.extensions import FileExtension
from ci.graph.tools import base
from ci.inspect.errors import InspectError
from ci.inspect.manifest import parse_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci.arch import Arch

MANIFEST: Final = "manifest.yaml"


class LocalImageError(CozystackTalosError):
    """A file holds no extension image that can be taken."""


@dataclass(frozen=True)
class LocalImage:
    """An extension image in a file: what is planned with it, and its file tree."""

    extension: FileExtension
    root: dagger.Directory


async def read_local_images(
    files: Sequence[dagger.File], layouts: Sequence[dagger.Directory], arch: Arch
) -> tuple[LocalImage, ...]:
    """Read image archives (`docker save`, `crane pull`, OCI) and folders of the OCI layout, in the order given.

    Raises `LocalImageError` for what is no image or no extension, `ForeignArchitectureError` for an image of another
    architecture.
    """
    archives = [(await file.name(), file) for file in files]
    archives += [(f"layout-{number}", _packed(layout)) for number, layout in enumerate(layouts, start=1)]

    async def read(named: tuple[str, dagger.File]) -> LocalImage:
        return await _read(*named, arch)

    return tuple(await at_once(read, archives))


def _packed(layout: dagger.Directory) -> dagger.File:
    container = base().with_mounted_directory("/layout", layout)
    return container.with_exec(commands.tar("/layout", "/out/layout.tar", 0)).file("/out/layout.tar")


async def _read(name: str, archive: dagger.File, arch: Arch) -> LocalImage:
    container = dag.container(platform=dagger.Platform(arch.platform)).import_(archive)
    try:
        platform = str(await container.platform())
    except dagger.QueryError as error:
        raise LocalImageError(
            f"{name}: no image for {arch.platform} can be read from it; give an archive as `docker save`, "
            f"`crane pull` or `skopeo copy … oci-archive:` write it. The engine says: {said(error)}"
        ) from None
    if not platform.startswith(arch.platform):
        raise ForeignArchitectureError(f"{name}: the image is for {platform}; the build is for {arch.platform}")
    root = container.rootfs()
    if not await root.exists(MANIFEST):
        raise LocalImageError(f"{name}: no system extension: the image has no /{MANIFEST}")
    try:
        manifest = parse_manifest(f"{name}:/{MANIFEST}", (await root.file(MANIFEST).contents()).encode())
    except InspectError as error:
        raise LocalImageError(str(error)) from None
    summed = await base().with_mounted_file("/archive", archive).with_exec(commands.sha256("/archive")).stdout()
    extension = FileExtension(
        name=manifest.metadata.name,
        version=manifest.metadata.version,
        file=name,
        digest=f"sha256:{summed.split()[0]}",
    )
    return LocalImage(extension, root)
