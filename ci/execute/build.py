"""What several functions do with a call's inputs: build assets, one output, an image; boot a variant."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from dagger import dag

from ci.boot.ways import DEADLINE, OUTPUTS, Way
from ci.common.deferred import deferred
from ci.common.errors import BuildError
from ci.common.filenames import SIGNATURES
from ci.common.progress import say
from ci.report import tables
from ci.report.summary import next_steps, render_summary
from ci.verify.signatures import render_signatures

with deferred():
    from ci.boot import request
    from ci.execute import boots, imaging
    from ci.plan import images

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import dagger

    from ci.boot.request import Options
    from ci.common.arch import Arch
    from ci.execute.boots import Boot
    from ci.execute.inputs import Inputs
    from ci.execute.sealing import BuiltAssets
    from ci.plan.model import Plan


async def build_assets(
    inputs: Inputs, plan: Plan, signers: Mapping[str, str] | None = None, place: str | None = None
) -> BuiltAssets:
    """Build a plan's assets, print plan and report; their checks may have failed.

    `signers` are those whose signatures were found, by reference with digest: the report names them. `place` is where
    the assets are in what is returned.
    """
    say(tables.plan_summary(plan))
    assets = await (await inputs.pipeline(plan)).sealed(_signed(signers) if signers else None, place)
    if assets.passed:
        report = await assets.report()
        say(render_summary(report, assets.place) + next_steps(report, assets.place))
    return assets


async def failure(assets: BuiltAssets) -> str:
    """Return what is wrong with assets that fail their checks."""
    return "the assets were built but do not pass their checks:\n" + render_summary(await assets.report(), assets.place)


async def build_passing(inputs: Inputs, plan: Plan, signers: Mapping[str, str] | None = None) -> BuiltAssets:
    """Build a plan's assets; raises `BuildError` with the report where a check fails."""
    assets = await build_assets(inputs, plan, signers)
    if not assets.passed:
        raise BuildError(await failure(assets))
    return assets


async def build_booted(
    inputs: Inputs,
    plan: Plan,
    ways: Iterable[Way],
    signers: Mapping[str, str] | None = None,
    place: str | None = None,
) -> BuiltAssets:
    """Boot a plan's assets, and return them with the boots' records next to the report."""
    records = (await _boot_records(inputs, plan, ways)).with_directory(".", _signed(signers))
    return await (await inputs.pipeline(plan)).sealed(records, place)


async def build_output(inputs: Inputs, variant: str, output: str) -> dagger.File:
    """Build one output, with its checks, and return its file."""
    plan = await inputs.plan(variant, [output])
    return (await build_passing(inputs, plan)).folder.file(plan.outputs[0].path)


async def build_image(
    inputs: Inputs, variant: str, name: str, outputs: list[str] | None = None, layout: str = "boot"
) -> dagger.Container:
    """Make one of the images of a variant's assets."""
    kind = images.KINDS[name]
    inputs.variants.get(variant)  # before anything is fetched
    upstream = (await inputs.checkout()).upstream
    imaging.check_possible(kind, upstream)
    plan = await inputs.plan(variant, kind.wanted(outputs), layout)
    return (await imaging.make_image(kind, await build_passing(inputs, plan), upstream)).container()


async def plan_images(
    inputs: Inputs,
    kinds: Iterable[images.ImageKind],
    variant: str,
    outputs: Iterable[str] | None,
    arches: Sequence[Arch],
) -> dict[images.ImageKind, list[Plan]]:
    """Plan images' assets, by image, for each architecture."""
    inputs.variants.get(variant)  # before anything is fetched
    upstream = (await inputs.checkout()).upstream
    planned: dict[images.ImageKind, list[Plan]] = {}
    for kind in kinds:
        imaging.check_possible(kind, upstream)
        planned[kind] = [await inputs.plan(variant, kind.wanted(outputs), arch=arch) for arch in arches]
    return planned


async def boot_variant(
    inputs: Inputs,
    variant: str,
    way: Way,
    options: Options,
    assets: dagger.Directory | None = None,
    configuration: dagger.File | None = None,
    arch: Arch | None = None,
) -> Boot:
    """Boot a variant, built here or as the assets that were given, with a machine configuration if there is one."""
    name = inputs.variants.get(variant).name
    if assets is not None:
        return await boots.boot_assets(assets, way, name, arch or inputs.arch, options, configuration)
    plan = await inputs.plan(name, [options.output] if options.output else OUTPUTS[way], arch=arch)
    return await boots.boot_plan(plan, await (await inputs.pipeline(plan)).made(), way, options, configuration)


async def _boot_records(inputs: Inputs, plan: Plan, ways: Iterable[Way]) -> dagger.Directory:
    """Boot a plan's variant in several ways and return what there is to keep; raises where one does not come up."""
    records = dag.directory()
    options = request.parse_options(DEADLINE, None, kvm=False)
    for way in ways:
        boot = boots.came_up(await boot_variant(inputs, plan.variant, way, options, arch=plan.arch))
        records = records.with_directory(".", boot.record)
    return records


def _signed(signers: Mapping[str, str] | None) -> dagger.Directory:
    """Return what goes next to the report of whose signatures were found."""
    folder = dag.directory()
    return folder.with_new_file(posixpath.basename(SIGNATURES), render_signatures(signers)) if signers else folder
