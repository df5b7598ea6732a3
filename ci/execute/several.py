"""Several variants, or one for several architectures, built in one call: what they have in common is built once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagger import dag

from ci.common.concurrency import gather_each
from ci.common.deferred import deferred
from ci.common.errors import BuildError, UserError
from ci.common.progress import say
from ci.execute.build import build_assets, build_booted, failure
from ci.execute.pipeline import assets_path
from ci.load.variant import ALL, asks_for_all

with deferred():
    from ci.execute import signed_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import dagger

    from ci.boot.model import Way
    from ci.common.arch import Arch
    from ci.execute.inputs import Inputs
    from ci.execute.sealing import BuiltAssets
    from ci.execute.signatures import Signers
    from ci.execute.signing import Signer
    from ci.load.variant import Variant
    from ci.plan.model import Plan


@dataclass(frozen=True)
class Order:
    """A plan, and where its assets are in what is returned."""

    plan: Plan
    place: str


async def plan_orders(
    inputs: Inputs,
    variants: str,
    arches: Sequence[Arch],
    outputs: Iterable[str] | None = None,
    layout: str = "boot",
    disk_size: str | None = None,
    base_url: str | None = None,
) -> list[Order]:
    """Plan the variants of a list, or of `all`, for each of some architectures.

    Of all variants, those that are not for an architecture are left out there, which is said.
    """
    chosen = inputs.variants.chosen(variants)
    every = asks_for_all(variants)
    pairs = [(variant, arch) for arch in arches for variant in chosen if not every or _fits(variant, arch)]
    if not pairs:
        raise UserError(f"no variant is for {', '.join(arches)}")

    async def plan(pair: tuple[Variant, Arch]) -> Plan:
        variant, arch = pair
        return await inputs.plan(variant.name, outputs, layout, arch, disk_size, base_url)

    plans = await gather_each(plan, pairs)
    apart = {"by_variant": every or len(chosen) > 1, "by_arch": len(arches) > 1}
    return [Order(plan, assets_path(plan, **apart)) for plan in plans]


async def plan_all(inputs: Inputs) -> list[Order]:
    """Plan the default outputs of all variants."""
    return await plan_orders(inputs, ALL, [inputs.arch])


def _fits(variant: Variant, arch: Arch) -> bool:
    fits = arch in variant.spec.architectures
    if not fits:
        say(f"{variant.name} is not for {arch.value}: left out there")
    return fits


async def build_orders(
    inputs: Inputs, orders: Sequence[Order], ways: Sequence[Way] = (), signers: Signers | None = None
) -> list[BuiltAssets]:
    """Build all orders at the same time, and boot them one after the other; their checks may have failed."""
    signed = {order.place: await signers.verify(order.plan) if signers else None for order in orders}

    async def build(order: Order) -> BuiltAssets:
        try:
            return await build_assets(inputs, order.plan, signed[order.place], order.place)
        except BuildError as error:
            if len(orders) == 1:
                raise
            raise BuildError(f"{order.plan.variant} for {order.plan.arch.value}: {error}") from None

    built = await gather_each(build, orders)
    if not ways or not all(assets.passed for assets in built):
        return built
    return [await build_booted(inputs, order.plan, ways, signed[order.place], order.place) for order in orders]


async def passing_tree(built: Sequence[BuiltAssets], signer: Signer | None = None) -> dagger.Directory:
    """Return the folder of all that was built, with detached signatures if somebody is to sign.

    Raises `BuildError` with the reports of those that fail their checks.
    """
    failures = [await failure(assets) for assets in built if not assets.passed]
    if failures:
        raise BuildError("\n".join(failures))
    if signer is not None:
        built = [await signed_files.with_signatures(assets, signer) for assets in built]
    if len(built) == 1:
        return built[0].tree
    tree = dag.directory()
    for assets in built:
        tree = tree.with_directory(".", assets.tree)
    return tree
