"""The image that another one is put on: what is read of its archive.

An archive is an OCI layout as tar (Dagger's `as_tarball`), or a docker archive (Talos's installer, `docker save`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict

from ci.common.oci import LAYER
from ci.inspect.compression import compression_of
from ci.inspect.context import Context
from ci.inspect.oci import files_of, parse_json, read_image
from ci.steps.normalise.files import NormaliseError

if TYPE_CHECKING:
    from ci.common.arch import Arch
    from ci.inspect.source import Source

_MEDIA_TYPES: Final = {None: LAYER, "gzip": f"{LAYER}+gzip", "zstd": f"{LAYER}+zstd"}

#: What a configuration says about building on the image, not about running it.
_NOT_TAKEN_OVER: Final = ("OnBuild", "ArgsEscaped")


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
    image = read_image(archive.name, files_of(archive, Context()))
    config = parse_json(image.config.source, _Config)
    if (config.os, config.architecture) != ("linux", arch.value):
        raise NormaliseError(archive.name, f"is for {config.os}/{config.architecture}, not for {arch.platform}")
    if len(image.layers) != len(config.rootfs.diff_ids):
        found = f"{len(image.layers)} layers, its configuration {len(config.rootfs.diff_ids)}"
        raise NormaliseError(archive.name, f"the image has {found}")
    layers = [_layer(blob.source, diff_id) for blob, diff_id in zip(image.layers, config.rootfs.diff_ids, strict=True)]
    config_run = config.config or _Run()
    run = config_run.model_dump(exclude={"Labels", *_NOT_TAKEN_OVER}, exclude_unset=True)
    # Every engine writes a configuration in an order of its own: the image made of it is to be the same.
    run = json.loads(json.dumps(run, sort_keys=True))
    return Base(config.variant, run, config_run.Labels or {}, layers)


def _layer(content: Source, diff_id: str) -> Layer:
    kind = compression_of(content.read_up_to(0, 8))
    if kind not in _MEDIA_TYPES:
        raise NormaliseError(content.name, f"a layer packed with {kind}: images know gzip and zstd")
    return Layer(content, _MEDIA_TYPES[kind], diff_id)
