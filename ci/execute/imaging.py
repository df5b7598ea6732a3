"""Assets as container images: the graph behind `installer`, `asset-image`, `matchbox` and `publish`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import dagger
from dagger import dag

from ci.execute import commands
from ci.execute.load import EngineResolver
from ci.execute.pulling import pull
from ci.execute.tools import base, tools
from ci.plan import images
from ci.plan import netboot as matchbox
from ci.resolve.digests import resolve_all

if TYPE_CHECKING:
    from ci.common.oci import ImageSpec
    from ci.common.references import PinnedImage
    from ci.execute.sealing import BuiltAssets
    from ci.load.upstream import Upstream
    from ci.plan.images import ImageKind
    from ci.plan.model import Plan

_LAYOUT: Final = "/out/layout"


class AssetImage:
    """An image of one platform: what it says of itself, and its files as an OCI layout."""

    def __init__(self, plan: Plan, spec: ImageSpec, layout: dagger.Directory, base: PinnedImage | None = None) -> None:
        self.plan = plan
        self.spec = spec
        self.layout = layout
        #: What it is put on, where the plan does not know that.
        self.base = base

    async def digest(self) -> str:
        """Return the digest of the image's manifest, by which a registry has it once it is published."""
        (descriptor,) = json.loads(await self.layout.file("index.json").contents())["manifests"]
        return str(descriptor["digest"])

    def container(self) -> dagger.Container:
        """Return the image as a container, of the platform that it is for."""
        archive = (
            base()
            .with_mounted_directory("/layout", self.layout, read_only=True)
            .with_exec(commands.tar("/layout", "/out/image.tar", self.plan.source_date.epoch))
            .file("/out/image.tar")
        )
        container = dag.container(platform=dagger.Platform(self.plan.arch.platform)).import_(archive)
        for key, value in self.spec.labels.items():
            container = container.with_annotation(key, value)
        return container


def check_possible(kind: ImageKind, upstream: Upstream) -> None:
    """Raise `UpstreamError`, before anything is built, where a checkout lacks what an image is made of."""
    if kind.name == "matchbox":
        matchbox.need(upstream)


async def make_image(kind: ImageKind, assets: BuiltAssets, upstream: Upstream) -> AssetImage:
    """Make an image of assets that were planned for it."""
    plan = assets.plan
    if kind.name == "installer":
        spec = images.image_spec(plan, kind, plan.installer_base)
        return AssetImage(plan, spec, await _layout(spec, archive=assets.folder.file(plan.outputs[0].path)))
    if kind.name == images.DISKS:
        spec = images.image_spec(plan, kind)
        root = dag.directory()
        for one in spec.files:
            root = root.with_file(one.path, assets.folder.file(one.path))
        return AssetImage(plan, spec, await _layout(spec, root=root))
    if kind.name == "assets":
        spec = images.image_spec(plan, kind)
        return AssetImage(plan, spec, await _layout(spec, root=dag.directory().with_directory("assets", assets.folder)))
    need = matchbox.need(upstream)
    found = (await resolve_all([need], EngineResolver(plan.arch)))[need.use]
    spec = images.image_spec(plan, kind, found)
    container = await pull(found, plan.arch.platform)
    archive = container.as_tarball(media_types=dagger.ImageMediaTypes.OCIMediaTypes)
    layout = await _layout(spec, archive=archive, root=await _matchbox_root(assets, upstream))
    return AssetImage(plan, spec, layout, found)


async def _matchbox_root(assets: BuiltAssets, upstream: Upstream) -> dagger.Directory:
    files = {output.name: assets.folder.file(output.path) for output in assets.plan.outputs}
    root = dag.directory()
    root = root.with_file(matchbox.KERNEL, files["kernel"]).with_file(matchbox.INITRAMFS, files["initramfs"])
    for path, text in matchbox.files(upstream, await files["cmdline"].contents()).items():
        root = root.with_new_file(path, text)
    return root


async def _layout(
    spec: ImageSpec, *, archive: dagger.File | None = None, root: dagger.Directory | None = None
) -> dagger.Directory:
    maker = (await tools("ci.steps.oci")).with_new_file("/in/spec.json", spec.model_dump_json())
    if archive is not None:
        maker = maker.with_mounted_file("/in/base.tar", archive)
    if root is not None:
        maker = maker.with_mounted_directory("/in/root", root, read_only=True)
    command = commands.make_image(
        "/in/spec.json",
        _LAYOUT,
        base="/in/base.tar" if archive is not None else None,
        root="/in/root" if root is not None else None,
    )
    return maker.with_exec(command).directory(_LAYOUT)
