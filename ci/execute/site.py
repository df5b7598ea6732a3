"""A release's pages as a folder for a web server: every variant built and checked, and what to do with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dagger import dag

from ci.common.arch import ARCHES
from ci.common.errors import UserError
from ci.common.filenames import CHECKSUMS, REPORT, VALIDATION
from ci.common.references import parse_reference
from ci.execute.build import build_passing
from ci.execute.configure import check_services, configure, folder
from ci.execute.imaging import make_image
from ci.execute.pipeline import ASSETS
from ci.execute.sealing import BuiltAssets
from ci.node.request import NodeSettings
from ci.node.tailscale import Asked
from ci.plan import images
from ci.publish.address import parse_address
from ci.report.pages.site import CONFIGURATION, KEY, Built, Place, site_pages
from ci.verify.reported import parse_report

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import dagger

    from ci.common.arch import Arch
    from ci.execute.inputs import Inputs
    from ci.load.variant import Variant
    from ci.plan.model import Plan
    from ci.verify.reported import Report


@dataclass(frozen=True)
class Wanted:
    """What a site is asked for."""

    variants: tuple[str, ...]
    arches: tuple[Arch, ...]
    outputs: tuple[str, ...]
    place: Place
    #: The site of the release before.
    before: dagger.Directory | None = None
    #: Public key of who signs the images.
    key: dagger.File | None = None


def parse_place(address: str | None, archives: str | None, *, signed: bool) -> Place:
    """Read where the release's images and archives are; raises `UserError` for what is no address."""
    if archives is not None and not archives.startswith(("https://", "http://")):
        raise UserError(
            f"--archives: bad address {archives!r}: write the URL of the folder with the archives VARIANT.tar"
        )
    given = str(parse_address(address)) if address is not None else None
    return Place(given, archives.rstrip("/") if archives else None, signed)


def parse_names(names: Iterable[str]) -> tuple[str, ...]:
    """Read names that are separated by commas, each once."""
    return tuple(dict.fromkeys(part.strip() for name in names for part in name.split(",") if part.strip()))


async def make_site(inputs: Inputs, wanted: Wanted) -> dagger.Directory:
    """Build everything that the site offers and return the site; raises where a variant's assets fail a check."""
    variants = [inputs.variants.get(name) for name in wanted.variants]
    site, built, configurations = dag.directory(), list[Built](), dict[str, tuple[str, ...]]()
    for variant in variants:
        arches = [arch for arch in wanted.arches if arch in variant.spec.architectures]
        if not arches:
            made_for = ", ".join(variant.spec.architectures)
            raise UserError(
                f"variant {variant.name} is made for {made_for}: choose from {', '.join(ARCHES)} with --arches"
            )
        for arch in arches:
            plan = await inputs.plan(variant.name, wanted.outputs, arch=arch)
            assets = await build_passing(inputs, plan)
            one = Built(plan, await assets.report(), await _before(wanted.before, variant.name, arch))
            if wanted.place.address:
                one = replace(one, installer=await _installer(inputs, plan))
            kept = [f"{VALIDATION}**", CHECKSUMS] if wanted.place.archives else []
            site = site.with_directory(one.folder, assets.folder, include=kept or None)
            built.append(one)
        of_variant = [one for one in built if one.plan.variant == variant.name]
        configuration = await _configuration(inputs, of_variant, variant, wanted.place)
        configurations[variant.name] = tuple(sorted(await configuration.glob("**/*.yaml")))
        site = site.with_directory(f"{variant.name}/{CONFIGURATION}", configuration)
    for path, text in site_pages(built, configurations, wanted.place).items():
        site = site.with_new_file(path, text)
    return site.with_file(KEY, wanted.key) if wanted.key is not None else site


async def _before(site: dagger.Directory | None, variant: str, arch: Arch) -> Report | None:
    """Return the report of the release before, where its site has one of the same variant and architecture."""
    path = f"{variant}/{arch.value}/{REPORT}"
    if site is None or not await site.exists(path):
        return None
    return parse_report(await site.file(path).contents(), f"--before: {path}")


async def _installer(inputs: Inputs, plan: Plan) -> str:
    """Return the digest of the installer image of a variant and an architecture.

    The same input gives the same bytes, so it is the image that `publish` pushes: no registry is asked.
    """
    kind = images.KINDS["installer"]
    alone = await inputs.plan(plan.variant, kind.outputs, arch=plan.arch)
    pipeline = await inputs.pipeline(alone)
    assets = BuiltAssets(alone, pipeline.folder(await pipeline.outputs(), ASSETS), ASSETS, passed=True)
    return await (await make_image(kind, assets, (await inputs.checkout()).upstream)).digest()


async def _configuration(inputs: Inputs, built: Sequence[Built], variant: Variant, place: Place) -> dagger.Directory:
    """Return the machine configuration; of several architectures the nodes' installer is named by its tag."""
    plan = built[0].plan
    await check_services(plan, variant, await inputs.pipeline(plan))
    image = place.installer(plan, built[0].installer if len(built) == 1 else None)
    installer = parse_reference(image) if image else None
    return await folder(await configure(plan, variant, Asked(), NodeSettings(), installer, None), None)
