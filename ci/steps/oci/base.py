"""The image that another one is put on: what is read of its archive.

An archive is an OCI layout as tar (Dagger's `as_tarball`), or a docker archive (Talos's installer, `docker save`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, RootModel

from ci.common.oci import LAYER
from ci.inspect.blobs import blob_of
from ci.inspect.compression import compression_of
from ci.inspect.context import Context
from ci.inspect.tar import list_members
from ci.steps.normalise.files import NormaliseError, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.common.arch import Arch
    from ci.inspect.source import Source

_MEDIA_TYPES: Final = {None: LAYER, "gzip": f"{LAYER}+gzip", "zstd": f"{LAYER}+zstd"}

#: What a configuration says about building on the image, not about running it.
_NOT_TAKEN_OVER: Final = ("OnBuild", "ArgsEscaped")


class _Descriptor(BaseModel):
    digest: str


class _Index(BaseModel):
    manifests: list[_Descriptor]


class _Manifest(BaseModel):
    config: _Descriptor
    layers: list[_Descriptor]


class _Image(BaseModel):
    Config: str
    Layers: list[str]


class _Archive(RootModel[list[_Image]]):
    pass


class _Run(BaseModel):
    # What is not named here is taken over as it is.
    model_config = ConfigDict(extra="allow")

    Labels: dict[str, str] | None = None


class _RootFs(BaseModel):
    diff_ids: list[str]


class _Config(BaseModel):
    os: str
    architecture: str
    variant: str | None = None
    config: _Run | None = None
    rootfs: _RootFs


class Layer(NamedTuple):
    """A layer's blob: packed or not, as the base has it."""

    content: Source
    media_type: str
    diff_id: str


class Base(NamedTuple):
    """What a new image takes over."""

    #: Of an architecture: `v8`.
    variant: str | None
    #: Environment, entrypoint, user and so on, under the names that the specification gives them.
    run: dict[str, Any]
    labels: dict[str, str]
    layers: list[Layer]


def read_base(archive: Source, arch: Arch) -> Base:
    """Return the one image in an archive; raises where there is not exactly one, or it is for another platform."""
    files = {
        member.path: archive.window(f"{archive.name}:{member.path}", member.offset, member.size)
        for member in list_members(archive, Context())
        if member.type == "file"
    }
    config_name, layer_names = _of_layout(archive.name, files) if "index.json" in files else _of_docker(archive, files)
    config = read_json(_file(archive.name, files, config_name), _Config)
    if (config.os, config.architecture) != ("linux", arch.value):
        raise NormaliseError(archive.name, f"is for {config.os}/{config.architecture}, not for {arch.platform}")
    if len(layer_names) != len(config.rootfs.diff_ids):
        found = f"{len(layer_names)} layers, its configuration {len(config.rootfs.diff_ids)}"
        raise NormaliseError(archive.name, f"the image has {found}")
    layers = [
        _layer(_file(archive.name, files, name), diff_id)
        for name, diff_id in zip(layer_names, config.rootfs.diff_ids, strict=True)
    ]
    config_run = config.config or _Run()
    run = config_run.model_dump(exclude={"Labels", *_NOT_TAKEN_OVER}, exclude_unset=True)
    # Every engine writes a configuration in an order of its own: the image made of it is to be the same.
    run = json.loads(json.dumps(run, sort_keys=True))
    return Base(config.variant, run, config_run.Labels or {}, layers)


def _of_layout(archive: str, files: Mapping[str, Source]) -> tuple[str, list[str]]:
    manifests = read_json(files["index.json"], _Index).manifests
    if len(manifests) != 1:
        raise NormaliseError(archive, f"holds {len(manifests)} images, one is expected")
    manifest = read_json(_file(archive, files, blob_of(manifests[0].digest)), _Manifest)
    return blob_of(manifest.config.digest), [blob_of(layer.digest) for layer in manifest.layers]


def _of_docker(archive: Source, files: Mapping[str, Source]) -> tuple[str, list[str]]:
    if "manifest.json" not in files:
        raise NormaliseError(archive.name, "neither index.json nor manifest.json: not an image archive")
    images = read_json(files["manifest.json"], _Archive).root
    if len(images) != 1:
        raise NormaliseError(archive.name, f"holds {len(images)} images, one is expected")
    return images[0].Config, images[0].Layers


def _file(archive: str, files: Mapping[str, Source], name: str) -> Source:
    if name not in files:
        raise NormaliseError(archive, f"names the blob {name}, which is not there")
    return files[name]


def _layer(content: Source, diff_id: str) -> Layer:
    kind = compression_of(content.read_up_to(0, 8))
    if kind not in _MEDIA_TYPES:
        raise NormaliseError(content.name, f"a layer packed with {kind}: images know gzip and zstd")
    return Layer(content, _MEDIA_TYPES[kind], diff_id)
