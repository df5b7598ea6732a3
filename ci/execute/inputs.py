"""What the module's constructor was given, resolved: variants, checkout, local images, login, keys. Each read once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ci.common.concurrency import Memo, gather_two
from ci.execute.load import EngineResolver, Sources, load_variants, look_up
from ci.execute.local import LocalImage, read_local_images
from ci.execute.pipeline import Pipeline
from ci.load.upstream import parse_release
from ci.plan.make import BuildRequest, choose_source_date
from ci.plan.outputs import DEFAULT_OUTPUTS, parse_base_url, parse_disk_size, parse_layout, parse_outputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import dagger

    from ci.common.arch import Arch
    from ci.execute.load import Checkout, LookedUp
    from ci.execute.registry import Login
    from ci.execute.secureboot import Keys
    from ci.load.upstream import Upstream
    from ci.load.variant import Variants
    from ci.plan.model import Plan


@dataclass(frozen=True)
class Source:
    """Where CozyStack's profiles are taken from: a folder, else a release's tag, else the default release."""

    folder: dagger.Directory | None
    release: str | None


@dataclass(frozen=True)
class LocalFiles:
    """Extension images on the user's machine."""

    archives: Sequence[dagger.File]
    layouts: Sequence[dagger.Directory]


@dataclass(frozen=True)
class Inputs:
    """The inputs of one call. Variants are there from the start; the rest is read when it is first asked for."""

    variants: Variants
    #: Of the nodes, unless a function gets another one.
    arch: Arch
    keys: Keys | None
    _sources: Sources
    _epoch: int | None
    _files: LocalFiles
    #: Bytes in a sector of disk images, where they are not 512.
    _sector_size: int | None = None
    _local_images: Memo[Arch, tuple[LocalImage, ...]] = field(default_factory=Memo["Arch", tuple[LocalImage, ...]])
    _resolvers: dict[Arch, EngineResolver] = field(default_factory=dict["Arch", EngineResolver])

    @classmethod
    async def load(
        cls,
        source: Source,
        variants: dagger.Directory | None,
        arch: Arch,
        epoch: int | None,
        files: LocalFiles,
        login: Login | None,
        keys: Keys | None,
        sector_size: int | None = None,
    ) -> Inputs:
        """Give the login to the engine, read the variants, and take all else as it is.

        `epoch` is the time of all timestamps, in seconds since 1970. Raises `VariantError` for a variant file that is
        refused, `UpstreamError` for a release that is no tag.
        """
        if source.release is not None:
            parse_release(source.release)  # also where the function needs no checkout
        if login is not None:
            await login.log_in()
        sources = Sources(source.folder, source.release)
        return cls(await load_variants(variants), arch, keys, sources, epoch, files, sector_size)

    async def checkout(self) -> Checkout:
        """Return CozyStack's checkout; raises `UpstreamError` where it can't be understood."""
        return await self._sources.checkout()

    async def local_images(self, arch: Arch) -> tuple[LocalImage, ...]:
        """Return the extensions that were given as files, for an architecture."""
        files = self._files
        return await self._local_images.get(arch, lambda: read_local_images(files.archives, files.layouts, arch))

    def resolver(self, arch: Arch) -> EngineResolver:
        """Return what looks tags up for nodes of an architecture; each tag is asked for once."""
        return self._resolvers.setdefault(arch, EngineResolver(arch))

    async def plan(
        self,
        variant: str,
        outputs: Iterable[str] | None = None,
        layout: str = "boot",
        arch: Arch | None = None,
        disk_size: str | None = None,
        base_url: str | None = None,
    ) -> Plan:
        """Plan a build of a variant; without `outputs`, of the default ones.

        Raises before anything is fetched for an unknown layout, output or variant, and for a bad disk size or base URL.
        """
        chosen = parse_layout(layout)
        size, url = parse_disk_size(disk_size), parse_base_url(base_url)
        wanted = parse_outputs(outputs or DEFAULT_OUTPUTS, chosen)
        found = self.variants.get(variant)
        where = arch or self.arch
        files = tuple(image.extension for image in await self.local_images(where))
        secure_boot = await self.keys.planned() if self.keys else None

        async def read() -> tuple[Upstream, LookedUp]:
            upstream = await self._sources.upstream()
            return upstream, await look_up(found, where, upstream, files, self.resolver(where))

        (upstream, looked_up), checkout = await gather_two(read, self.checkout)
        request = BuildRequest(
            variant=found,
            arch=where,
            upstream=upstream,
            origin=checkout.origin,
            source_date=choose_source_date(self._epoch, checkout.origin, checkout.date),
            outputs=wanted,
            layout=chosen,
            disk_size=size,
            base_url=url,
            files=files,
            secure_boot=secure_boot,
            disk_sector_size=self._sector_size,
        )
        return looked_up.plan(request)

    async def pipeline(self, plan: Plan, attempt: str | None = None, *, assembles: bool | None = None) -> Pipeline:
        """Return the graph of a plan; with an `attempt`, a new text, no imager run is taken from the cache.

        `assembles` says whether the initramfs is put together from several imager runs, otherwise the Talos version
        decides.
        """
        trees = {image.extension.digest: image.root for image in await self.local_images(plan.arch)}
        return Pipeline(plan, trees, self.keys, attempt=attempt, assembles=assembles)
