"""The image that another one is put on: what is read of its archive.

An archive is an OCI layout as tar (Dagger's `as_tarball`), or a docker archive (Talos's installer, `docker save`).
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict

from ci.common.oci import LAYER
from ci.inspect.compression import compression_of, expand
from ci.inspect.context import Context
from ci.inspect.oci import files_of, parse_json, read_image
from ci.steps.normalise.files import NormaliseError

if TYPE_CHECKING:
    from ci.common.arch import Arch
    from ci.inspect.oci import Blob
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
    layers = [_layer(blob, diff_id) for blob, diff_id in zip(image.layers, config.rootfs.diff_ids, strict=True)]
    config_run = config.config or _Run()
    run = config_run.model_dump(exclude={"Labels", *_NOT_TAKEN_OVER}, exclude_unset=True)
    # Engines write a configuration in different orders: the image made of it is to be the same.
    run = json.loads(json.dumps(run, sort_keys=True))
    return Base(config.variant, run, config_run.Labels or {}, layers)


def _layer(blob: Blob, diff_id: str) -> Layer:
    content = blob.source
    kind = compression_of(content.read_up_to(0, 8))
    if kind == "xz":
        raise NormaliseError(content.name, f"a layer packed with {kind}: images know gzip and zstd")
    if blob.claimed is None:
        # Only the configuration tells a digest of it, and that is the digest of what it expands to.
        digest = hashlib.sha256()
        for chunk in expand(content, kind, Context()) if kind else content.chunks():
            digest.update(chunk)
        if f"sha256:{digest.hexdigest()}" != diff_id:
            raise NormaliseError(content.name, f"its content has another digest, sha256:{digest.hexdigest()}")
    return Layer(content, _MEDIA_TYPES[kind], diff_id)
