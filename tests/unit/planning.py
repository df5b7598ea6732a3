"""Short ways to a plan, for tests."""

from __future__ import annotations

from functools import cache

import anyio.lowlevel

from ci.common.arch import Arch
from ci.common.errors import NotFoundInRegistryError
from ci.load.upstream import Upstream, load_upstream
from ci.load.variant import BUILTIN, Variant, parse_variant, read_variants
from ci.plan.make import BuildRequest, make_plan
from ci.plan.model import Origin, Plan, SourceDate
from ci.plan.outputs import DEFAULT_OUTPUTS, Layout, parse_outputs
from ci.resolve.digests import resolve_all
from ci.resolve.needs import catalog_need, extension_needs, release_needs
from tests.unit.catalogs import CATALOG, digest
from tests.unit.cozystack import checkout

HEAD = "description: for tests\nrole: test\n"


class Registry:
    """A registry that knows some tags, and remembers what it was asked."""

    def __init__(self, *absent: str) -> None:
        self.absent = absent
        self.asked: list[str] = []

    async def resolve(self, reference: str) -> str:
        self.asked.append(reference)
        await anyio.lowlevel.checkpoint()
        if reference in self.absent:
            raise NotFoundInRegistryError(f"{reference}: no such image")
        return {"imager": digest("1"), "installer-base": digest("2"), "installer": digest("3")}.get(
            reference.rsplit("/", 1)[1].split(":", maxsplit=1)[0], digest("4")
        )


@cache
def builtin(name: str) -> Variant:
    return read_variants(BUILTIN).get(name)


@cache
def upstream(tag: str) -> Upstream:
    return load_upstream(checkout(tag))


def variant(text: str) -> Variant:
    """A variant in `variants/mine.yaml`; description and role stand on its first two lines."""
    return parse_variant("variants/mine.yaml", HEAD + text)


def request(
    which: Variant | str = "spin-only",
    *,
    arch: Arch = Arch.ARM64,
    tag: str = "v1.6.2",
    outputs: tuple[str, ...] = DEFAULT_OUTPUTS,
    layout: Layout = Layout.BOOT,
) -> BuildRequest:
    return BuildRequest(
        variant=builtin(which) if isinstance(which, str) else which,
        arch=arch,
        upstream=upstream(tag),
        origin=Origin(where="https://example.org/cozystack", release=tag, commit="c" * 40),
        source_date=SourceDate(epoch=1700000000, source="given"),
        outputs=parse_outputs(outputs, layout),
        layout=layout,
    )


async def plan_of(wanted: BuildRequest, registry: Registry | None = None) -> Plan:
    """The plan of a request, looked up as the pipeline does it."""
    resolver = registry or Registry()
    need = catalog_need(wanted.variant, wanted.upstream, wanted.files)
    catalog = CATALOG if need else None
    found = await resolve_all([*release_needs(wanted.upstream), *([need] if need else [])], resolver)
    found |= await resolve_all(
        extension_needs(wanted.variant, wanted.arch, wanted.upstream, catalog, wanted.files), resolver
    )
    return make_plan(wanted, catalog, found)
