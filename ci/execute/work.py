"""What several functions do with what the module's constructor was given: plan, build, boot, make an image."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagger import dag

from ci.boot.model import DEADLINE, OUTPUTS, Way
from ci.boot.request import Options, parse_options
from ci.common.arch import Arch, parse_arch
from ci.common.errors import BuildError
from ci.common.filenames import SIGNATURES
from ci.common.progress import say
from ci.execute.boots import Boot, boot_assets, boot_plan, came_up
from ci.execute.imaging import check_possible, make_image
from ci.execute.load import Checkout, load_checkout, load_plan, load_variants
from ci.execute.local import LocalImage, read_local_images
from ci.execute.pipeline import Assets, Pipeline
from ci.execute.registry import Login, parse_login
from ci.execute.secureboot import Keys, parse_keys
from ci.execute.updating import Update, find_update
from ci.plan import images
from ci.plan.outputs import DEFAULT_OUTPUTS, parse_layout, parse_outputs
from ci.report import tables
from ci.verify.signatures import render_signatures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import dagger

    from ci.plan.model import Plan


@dataclass(frozen=True)
class Work:
    """The constructor's arguments, and what is made of them."""

    upstream: dagger.Directory | None
    release: str | None
    variant_files: dagger.Directory | None
    arch: str
    source_date_epoch: int | None
    extension_file: list[dagger.File]
    extension_layout: list[dagger.Directory]
    registry: str | None
    registry_username: str | None
    registry_password: dagger.Secret | None
    secureboot_key: dagger.Secret | None
    secureboot_cert: dagger.File | None
    secureboot_pcr_key: dagger.Secret | None
    secureboot_enrolment: dagger.Directory | None

    async def plan(
        self,
        variant: str,
        outputs: Iterable[str] | None,
        layout: str,
        checkout: Checkout | None = None,
        arch: Arch | None = None,
    ) -> Plan:
        """Plan a build of a variant; without `outputs`, of the default ones."""
        chosen = parse_layout(layout)
        wanted = parse_outputs(outputs or DEFAULT_OUTPUTS, chosen)
        variants = await load_variants(self.variant_files)
        variants.get(variant)  # before anything is fetched
        if login := self.login():
            await login.log_in()
        where = arch or parse_arch(self.arch)
        files = tuple(image.extension for image in await self._local_images(where))
        checkout = checkout or await load_checkout(self.upstream, self.release)
        return await load_plan(
            checkout,
            variants,
            variant,
            where,
            self.source_date_epoch,
            wanted,
            chosen,
            files,
            await keys.planned() if (keys := self.keys()) else None,
        )

    def keys(self) -> Keys | None:
        """Return the keys for secure boot, where some were given."""
        return parse_keys(self.secureboot_key, self.secureboot_cert, self.secureboot_pcr_key, self.secureboot_enrolment)

    def login(self) -> Login | None:
        """Return the login for the registry of extensions, where one was given."""
        return parse_login(self.registry, self.registry_username, self.registry_password)

    async def _local_images(self, arch: Arch) -> tuple[LocalImage, ...]:
        return await read_local_images(self.extension_file, self.extension_layout, arch)

    async def trees(self, arch: Arch) -> dict[str, dagger.Directory]:
        """Return the file trees of the extensions that were given as files, by digest."""
        return {image.extension.digest: image.root for image in await self._local_images(arch)}

    async def update(self, repository: str | None, to: str | None) -> Update:
        """Look for what is newer than what is in use."""
        variants = await load_variants(self.variant_files)
        checkout = await load_checkout(self.upstream, self.release)
        return await find_update(checkout, variants, parse_arch(self.arch), repository, to)

    async def boot(self, variant: str, way: Way, assets: dagger.Directory | None, options: Options) -> Boot:
        """Boot a variant, built here or as the assets that were given, and return how it went."""
        name = (await load_variants(self.variant_files)).get(variant).name
        if assets is not None:
            return await boot_assets(assets, way, name, parse_arch(self.arch), options)
        plan = await self.plan(name, OUTPUTS[way], "boot")
        return await boot_plan(plan, await (await self.pipeline(plan)).made(), way, options)

    async def output(self, variant: str, output: str) -> dagger.File:
        """Build one output, with its checks, and return its file."""
        plan = await self.plan(variant, [output], "boot")
        return (await self.passing(plan)).folder.file(plan.outputs[0].path)

    async def image(self, variant: str, name: str, outputs: list[str] | None, layout: str) -> dagger.Container:
        """Make one of the images of a variant's assets."""
        kind = images.KINDS[name]
        (await load_variants(self.variant_files)).get(variant)
        checkout = await load_checkout(self.upstream, self.release)
        check_possible(kind, checkout.upstream)
        plan = await self.plan(variant, kind.wanted(outputs), layout, checkout)
        return (await make_image(kind, await self.passing(plan), checkout.upstream)).container()

    async def orders(
        self,
        kind: images.ImageKind,
        variant: str,
        outputs: Iterable[str] | None,
        checkout: Checkout,
        arches: Iterable[Arch],
    ) -> list[Plan]:
        """Plan an image's assets for each architecture."""
        check_possible(kind, checkout.upstream)
        wanted = kind.wanted(outputs)
        return [await self.plan(variant, wanted, "boot", checkout, arch) for arch in arches]

    async def passing(self, plan: Plan, signers: Mapping[str, str] | None = None) -> Assets:
        """Build a plan's assets; raises `BuildError` with the report where a check fails.

        `signers` are those whose signatures were found, by reference with digest: the report names them.
        """
        assets = await self.assets(plan, signers)
        if not assets.passed:
            raise BuildError("the assets were built but do not pass their checks:\n" + await assets.report())
        return assets

    async def pipeline(self, plan: Plan) -> Pipeline:
        """Return the graph of a plan."""
        return Pipeline(plan, await self.trees(plan.arch), self.keys())

    async def records(self, variant: str, ways: Iterable[Way]) -> dagger.Directory:
        """Boot a variant in several ways and return what there is to keep; raises where one does not come up."""
        records = dag.directory()
        for way in ways:
            boot = came_up(await self.boot(variant, way, None, parse_options(DEADLINE, None, kvm=False)))
            records = records.with_directory(".", boot.record)
        return records

    async def booted(self, plan: Plan, ways: Iterable[Way], signers: Mapping[str, str] | None = None) -> Assets:
        """Boot a plan's assets, and return them with the boots' records beside the report."""
        records = (await self.records(plan.variant, ways)).with_directory(".", _signed(signers))
        return await (await self.pipeline(plan)).sealed(records)

    async def assets(self, plan: Plan, signers: Mapping[str, str] | None = None) -> Assets:
        """Build a plan's assets and tell what they are; their checks may have failed."""
        say(tables.plan_summary(plan))
        assets = await (await self.pipeline(plan)).sealed(_signed(signers) if signers else None)
        say(await assets.report())
        return assets


def _signed(signers: Mapping[str, str] | None) -> dagger.Directory:
    """Return what goes beside the report of whose signatures were found."""
    folder = dag.directory()
    return folder.with_new_file(posixpath.basename(SIGNATURES), render_signatures(signers)) if signers else folder
