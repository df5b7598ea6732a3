"""Containers and images: `from`, `import`, `asTarball`, `export`, `publish`, and what an image's config says."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from embedded.engine import llb
from embedded.engine.api import trees
from embedded.engine.api.context import Engine
from embedded.engine.api.file import export_file
from embedded.engine.api.host import uploaded
from embedded.engine.api.hostpaths import file_place, make_host_folder, written
from embedded.engine.api.layouts import as_dagger_writes_it, unpack
from embedded.engine.api.references import Reference, parse_reference
from embedded.engine.api.registry import resolver
from embedded.engine.api.secret import plaintext
from embedded.engine.api.values import Container, File, ImageSettings, Secret
from embedded.engine.buildkit import ImageConfig, SolveError
from embedded.engine.errors import EngineError, UnsupportedError
from embedded.shown import shown

MEDIA_TYPES = {"OCIMediaTypes": "true", "OCI": "true", "DockerMediaTypes": "false", "DOCKER": "false"}
COMPRESSIONS = {"gzip": "gzip", "zstd": "zstd", "estargz": "estargz", "uncompressed": "uncompressed"}

STAND_IN = "io.cozystack.talos.stand-in"
"""Label of the lab's images (`embedded.lab.oci`), and of what is made from them; an annotation too."""


@resolver("Query", "container")
async def container(_: object, engine: Engine, platform: str | None = None) -> Container:
    return Container(platform or engine.platform)


@resolver("Container", "platform")
async def platform(self: Container, engine: Engine) -> str:
    return self.platform


# --- in ---------------------------------------------------------------------------------------------------------


@resolver("Container", "from")
async def from_(self: Container, engine: Engine, address: str, registry_service: str | None = None) -> Container:
    reference = parse_reference(address)
    if engine.lab is not None:
        reference = await engine.lab.prepare(reference, self.platform)
    image = await _resolved(engine, reference, self.platform)
    pinned = replace(reference, digest=image.digest)
    tree = llb.source(f"docker-image://{pinned}", {}, self.platform, f"pull {reference} for {self.platform}")
    return replace(with_config(self, image.config, str(reference)), root=tree, image_ref=str(pinned))


async def _resolved(engine: Engine, reference: Reference, platform: str) -> ImageConfig:
    """Look an image up; of one that is named by its digest the config is known from the first time on."""
    if reference.digest and (kept := engine.kept.get("config", str(reference), platform)) is not None:
        return ImageConfig(str(reference), reference.digest, kept)
    try:
        found = await engine.bk.resolve_image(str(reference), platform)
    except SolveError as error:
        raise engine.unresolved(reference.registry, str(reference), platform, error) from None
    engine.kept.put(found.config, "config", str(replace(reference, digest=found.digest)), platform)
    return found


def with_config(self: Container, config: dict[str, Any], name: str) -> Container:
    """Take over an image's config; the platform too, which is that of the image even where another was asked for."""
    try:
        return _with_config(self, config)
    except (TypeError, AttributeError, ValueError, KeyError):
        raise EngineError(
            f"the config of the image {shown(name)} is not one",
            "Whoever made it has to make it anew; https://github.com/opencontainers/image-spec says what is in one.",
        ) from None


def _with_config(self: Container, config: dict[str, Any]) -> Container:
    run: dict[str, Any] = config.get("config") or {}
    parts = [config.get("os", "linux"), config.get("architecture") or self.platform.split("/")[1]]
    variant = config.get("variant", "")
    known = ("Env", "Entrypoint", "Cmd", "User", "WorkingDir", "Labels", "ExposedPorts")
    env: list[str] = run.get("Env") or []
    labels: dict[str, str] = run.get("Labels") or {}
    ports: dict[str, Any] = run.get("ExposedPorts") or {}
    settings = ImageSettings(
        env=tuple((name, value) for name, _, value in (entry.partition("=") for entry in env)),
        entrypoint=tuple(run.get("Entrypoint") or ()),
        cmd=tuple(run.get("Cmd") or ()),
        user=run.get("User") or "",
        workdir=run.get("WorkingDir") or "",
        labels=tuple(labels.items()),
        ports=tuple((port, "") for port in ports),
        other=tuple((key, value) for key, value in run.items() if key not in known),
    )
    wanted = "/".join([*parts, *([variant] if variant else [])])
    same = self.platform.split("/")[:2] == parts
    return replace(self, settings=settings, platform=self.platform if same else wanted)


@resolver("Container", "import")
async def import_(self: Container, engine: Engine, source: str, tag: str = "") -> Container:
    archive = engine.load(source, File)
    folder = engine.scratch / f"import-{len(list(engine.scratch.iterdir()))}"
    folder.mkdir()
    await export_file(engine, archive, folder / archive.name)
    images = unpack(folder / archive.name, folder / "layout")
    (folder / archive.name).unlink()
    fitting = [image for image in images if image.platform.split("/")[:2] == self.platform.split("/")[:2]]
    if not images:
        raise EngineError(f"the archive {archive.name} holds no image")
    image = (fitting or images)[0]
    store = f"import-{hashlib.sha256(image.digest.encode()).hexdigest()[:16]}"
    await engine.attachables.offer_layout(store, folder / "layout")
    identifier = f"oci-layout://cozystack-talos/import@{image.digest}"
    tree = llb.source(identifier, {"oci.store": store}, image.platform, f"import {archive.name}")
    await engine.solve(tree)  # now, while the layout is on offer
    return replace(with_config(self, image.config, archive.name), root=tree)


@resolver("Container", "imageRef")
async def image_ref(self: Container, engine: Engine) -> str:
    if not self.image_ref:
        raise EngineError("Image reference can only be retrieved immediately after the 'Container.From' call.")
    return self.image_ref


@resolver("Container", "withRegistryAuth")
async def with_registry_auth(self: Container, engine: Engine, address: str, username: str, secret: str) -> Container:
    host = address.removeprefix("https://").removeprefix("http://").partition("/")[0]
    host = "registry-1.docker.io" if host in ("docker.io", "index.docker.io") else host
    await engine.attachables.offer_credentials(host, username, await plaintext(engine, engine.load(secret, Secret)))
    return self


# --- out --------------------------------------------------------------------------------------------------------


def config_of(self: Container) -> dict[str, Any]:
    """The OCI image config of a container."""
    system, _, rest = self.platform.partition("/")
    architecture, _, variant = rest.partition("/")
    settings = self.settings
    run: dict[str, Any] = {
        "Env": [f"{name}={value}" for name, value in settings.env],
        "Entrypoint": list(settings.entrypoint),
        "Cmd": list(settings.cmd),
        "User": settings.user,
        "WorkingDir": settings.workdir,
        "Labels": dict(settings.labels),
        "ExposedPorts": {port: {} for port, _ in settings.ports},
        **dict(settings.other),
    }
    config: dict[str, Any] = {
        "architecture": architecture,
        "os": system,
        "config": {key: value for key, value in run.items() if value},
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    return config | ({"variant": variant} if variant else {})


def exporter_attrs(self: Container, compression: str | None, media_types: str) -> dict[str, str]:
    attrs = {"oci-mediatypes": MEDIA_TYPES[media_types]}
    if compression:
        attrs |= {"compression": COMPRESSIONS[compression.lower()], "force-compression": "true"}
    return attrs | {f"annotation.{key}": value for key, value in self.annotations}


async def write_image(
    engine: Engine, variants: Sequence[Container], exporter: str, attrs: dict[str, str]
) -> dict[str, str]:
    """Hand one image, or the index of several, to an exporter."""
    if len(variants) == 1:
        config = json.dumps(config_of(variants[0]), sort_keys=True)
        return await engine.export_tree(variants[0].root, exporter, attrs | {"containerimage.config": config})
    named = {variant.platform: (variant.root, config_of(variant)) for variant in variants}
    if len(named) < len(variants):
        raise EngineError(f"two containers are of one platform: {', '.join(v.platform for v in variants)}")
    try:
        return await engine.bk.export_platforms(named, exporter, attrs)
    except SolveError as error:
        raise await engine.explain(error) from None


def _variants(self: Container, engine: Engine, others: Sequence[str]) -> list[Container]:
    loaded = [engine.load(other, Container) for other in others]
    return loaded if self.root is llb.SCRATCH and loaded else [self, *loaded]


async def tarball(engine: Engine, variants: Sequence[Container], compression: str | None, media_types: str) -> Path:
    """The image archive of containers on the host. Kept below the cache folder under a name made of the graph."""
    attrs = exporter_attrs(variants[0], compression, media_types)
    recipe = [[v.root.vertex.digest if v.root.vertex else "", v.root.index, config_of(v)] for v in variants]
    key = hashlib.sha256(json.dumps([recipe, attrs], sort_keys=True).encode()).hexdigest()
    # a graph on an upload is known by the upload's name only, so what it gives is of this session
    lasting = engine.tarballs is not None and not any(
        vertex.name.startswith("upload ") for v in variants for vertex in llb.vertices(v.root)
    )
    folder = engine.tarballs if lasting and engine.tarballs else engine.scratch
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{key}.tar"
    async with engine.lock(f"tarball {key}"):
        if not target.exists():
            raw, part = engine.scratch / f"{key}.raw", engine.scratch / f"{key}.part"
            for variant in variants:
                await engine.solve(variant.root)
            async with engine.attachables.target(file=raw):
                await write_image(engine, variants, "oci", attrs)
            as_dagger_writes_it(raw, part)
            raw.unlink()
            shutil.move(part, target)
    return target


@resolver("Container", "asTarball")
async def as_tarball(
    self: Container,
    engine: Engine,
    platform_variants: list[str],
    forced_compression: str | None = None,
    media_types: str = "OCIMediaTypes",
) -> File:
    path = await tarball(engine, _variants(self, engine, platform_variants), forced_compression, media_types)
    folder = await uploaded(engine, path.parent, include=[path.name])
    return trees.renamed(File(folder.tree, "/" + path.name), "image.tar")


@resolver("Container", "export")
async def export(
    self: Container,
    engine: Engine,
    path: str,
    platform_variants: list[str],
    forced_compression: str | None = None,
    media_types: str = "OCIMediaTypes",
    expand: bool = False,
) -> str:
    target = engine.host_path(path)
    place = file_place("the image archive", target)
    make_host_folder(place.parent)
    source = await tarball(engine, _variants(self, engine, platform_variants), forced_compression, media_types)
    part = place.parent / f".{place.name}.part"
    try:
        with written(target):
            shutil.copyfile(source, part)
            part.replace(place)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return str(target)


def refuse_stand_ins(variants: Sequence[Container], to: Reference) -> None:
    """Raise where an image of the lab, or what was made from one, would leave this machine under a real image's name.

    Known by its mark: what only has files of a stand-in, in an image without the mark, goes anywhere.
    """
    marked = any((STAND_IN, "true") in (*variant.settings.labels, *variant.annotations) for variant in variants)
    if marked and not _on_loopback(to.registry):
        raise EngineError(
            f"this image is a stand-in from the lab, and {to.registry} is not on this machine",
            "Publish it to a registry on 127.0.0.1, or leave out --lab to make a real one.",
        )


def _on_loopback(registry: str) -> bool:
    name = re.sub(r":[0-9]+$", "", registry).strip("[]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name.lower() == "localhost"


@resolver("Container", "publish")
async def publish(
    self: Container,
    engine: Engine,
    address: str,
    platform_variants: list[str],
    forced_compression: str | None = None,
    media_types: str = "OCIMediaTypes",
    registry_service: str | None = None,
) -> str:
    if registry_service:
        raise UnsupportedError("Container.publish(registryService: …)")
    reference = parse_reference(address)
    variants = _variants(self, engine, platform_variants)
    refuse_stand_ins(variants, reference)
    attrs = exporter_attrs(variants[0], forced_compression, media_types)
    for variant in variants:
        await engine.solve(variant.root)
    response = await write_image(engine, variants, "image", attrs | {"name": str(reference), "push": "true"})
    return str(replace(reference, digest=response["containerimage.digest"]))
