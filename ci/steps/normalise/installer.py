"""The installer's docker archive: the image is created at a given time, and its configuration named accordingly.

    archive = "sha256:<digest>"  "<digest of the packed layer>.tar.gz"…  manifest.json

Chance is in the configuration's `created` alone, and through its digest in its name and `manifest.json`. The layers
are settled: the base's are taken over as they are, the imager's own has times of zero.
"""

from __future__ import annotations

import hashlib
import tarfile
from typing import TYPE_CHECKING, BinaryIO, cast

from pydantic import BaseModel, ConfigDict, RootModel

from ci.common.canonical import json_bytes, timestamp
from ci.inspect.context import Context
from ci.inspect.limits import CHUNK
from ci.inspect.oci import ARCHIVE, INDEX, LAYOUT, parse_json, read_image
from ci.inspect.source import BytesSource, Source, SourceFile, open_file
from ci.inspect.tar import list_members
from ci.steps.normalise.files import NormaliseError, written

if TYPE_CHECKING:
    from pathlib import Path


class _Kept(BaseModel):
    # What is not named here stays as it is.
    model_config = ConfigDict(extra="allow")


class _Image(_Kept):
    Config: str


class _Archive(RootModel[list[_Image]]):
    pass


class _Step(_Kept):
    created: str | None = None


class _Config(_Kept):
    created: str | None = None
    history: list[_Step] | None = None


def normalise_installer(path: Path, out: Path, epoch: int) -> None:
    """Write the archive with `created` of image and history, and all times of the tar's members, set to `epoch`.

    Members keep their order and modes; owners are 0:0 without names. Raises where the archive is not of one image,
    or where the configuration's name does not tell its digest.
    """
    context = Context()
    with open_file(path) as archive:
        members: dict[str, tuple[int, Source]] = {}
        for member in list_members(archive, context):
            if member.type != "file" or member.path in members:
                found = f"is a {member.type}" if member.type != "file" else "is there twice"
                raise NormaliseError(archive.name, f"{member.path!r} {found}: not an archive as the imager writes it")
            content = archive.window(f"{archive.name}:{member.path}", member.offset, member.size)
            members[member.path] = (member.mode, content)
        changed = _dated(archive.name, {name: content for name, (_, content) in members.items()}, epoch)
        with (
            written(out) as file,
            tarfile.TarFile(fileobj=file, mode="w", format=tarfile.GNU_FORMAT, copybufsize=CHUNK) as tar,
        ):
            for name, (mode, content) in members.items():
                _add(tar, mode, epoch, *changed.get(name, (name, content)))


def _dated(archive: str, files: dict[str, Source], epoch: int) -> dict[str, tuple[str, Source]]:
    """Return new names and contents of the members that change, by their old names."""
    if ARCHIVE not in files:
        raise NormaliseError(archive, f"no {ARCHIVE}: not a docker archive")
    found = read_image(archive, {name: content for name, content in files.items() if name not in (INDEX, LAYOUT)})
    name, old = found.config.name, found.config.source.sha256()
    if found.config.claimed != old:
        raise NormaliseError(archive, f"the configuration {name!r} has the digest {old}: its name must tell it")
    images = parse_json(files[ARCHIVE], _Archive)
    config = parse_json(found.config.source, _Config)
    for dated in (config, *(step for step in config.history or () if step.created is not None)):
        dated.created = timestamp(epoch)
    data = _json(config)
    new = name.replace(old, hashlib.sha256(data).hexdigest())
    images.root[0].Config = new
    return {
        name: (new, BytesSource(new, data)),
        ARCHIVE: (ARCHIVE, BytesSource(ARCHIVE, _json(images))),
    }


def _json(document: BaseModel) -> bytes:
    return json_bytes(document.model_dump(mode="json", exclude_unset=True))


def _add(tar: tarfile.TarFile, mode: int, epoch: int, name: str, content: Source) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = content.size, mode, epoch
    tar.addfile(info, cast("BinaryIO", SourceFile(content, most=content.size + CHUNK, at_once=CHUNK)))
