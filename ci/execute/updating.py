"""Looking for what is newer, through the engine: CozyStack's tags, the catalog of the Talos version, both plans."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dagger
from dagger import dag

from ci.common import pins
from ci.common.concurrency import gather_each
from ci.execute.load import EngineResolver, from_repository, load_catalog, load_checkout, look_up_plan
from ci.execute.sdk import with_image
from ci.load.variant import BUILTIN, read_variants
from ci.plan.make import BuildRequest
from ci.plan.model import SourceDate
from ci.plan.outputs import DEFAULT_OUTPUTS, parse_outputs
from ci.upkeep import updates

if TYPE_CHECKING:
    from ci.execute.inputs import Inputs
    from ci.execute.load import Checkout, EngineResolver
    from ci.load.variant import Variant
    from ci.plan.model import Plan

PINS = "ci/common/pins.py"


@dataclass(frozen=True)
class Update:
    """What is newer than what is pinned."""

    #: `None` where there is no newer release.
    release: pins.Release | None
    #: By variant, what the newer release changes.
    differences: dict[str, list[str]]
    extensions: tuple[updates.NewerExtension, ...]
    #: Images of tools, by tag and digest → the same by the digest that the tag has now.
    tools: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def report(self) -> str:
        """All of it as text."""
        return updates.report(self.differences, self.extensions, self.tools)


async def find_update(inputs: Inputs, repository: str | None, wanted: str | None) -> Update:
    """Compare the current release with the newest one, or a wanted one, of CozyStack's repository."""
    current, arch, resolver = await inputs.checkout(), inputs.arch, inputs.resolver(inputs.arch)
    repository = repository or pins.COZYSTACK_GIT
    tags = await from_repository(repository, "the releases", dag.git(repository).tags(patterns=["v*"]))
    pinned = current.origin.release or pins.DEFAULT_RELEASE.tag
    tag = updates.known_release(tags, wanted) if wanted else updates.newest(tags, pinned)
    checkout = await load_checkout(None, tag, repository) if tag else current
    catalog = await load_catalog(checkout.upstream, resolver)
    chosen = [variant for variant in inputs.variants if arch in (variant.spec.architectures or [arch])]
    ours = read_variants(BUILTIN).by_name
    newer = tuple(
        one
        for variant in chosen
        # A user's variant may take the place of a built-in one.
        for one in updates.newer_extensions(variant, catalog, builtin=ours.get(variant.name) == variant)
    )
    tools = await newer_tools(resolver)
    if tag is None:
        return Update(None, {}, newer, tools)
    differences = {
        variant.name: updates.changes(
            await _plan(current, variant, resolver, pinned), await _plan(checkout, variant, resolver, tag)
        )
        for variant in chosen
    }
    release = pins.Release(tag, checkout.origin.commit or "", checkout.date or pins.FALLBACK_EPOCH)
    return Update(release, differences, newer, tools)


async def newer_tools(resolver: EngineResolver) -> dict[str, str]:
    """Return the images of tools whose tags name another digest by now; none where they are stand-ins."""
    # Where one is a stand-in, all are, and making the others would take minutes.
    if await with_image(dag.container(), pins.PYTHON.partition("@")[0]).label(pins.STAND_IN_LABEL) == "true":
        return {}

    async def look(pinned: str) -> tuple[str, str]:
        tagged = pinned.partition("@")[0]
        return pinned, f"{tagged}@{await resolver.resolve(tagged)}"

    return {pinned: found for pinned, found in await gather_each(look, pins.TOOLS) if found != pinned}


async def _plan(checkout: Checkout, variant: Variant, resolver: EngineResolver, release: str) -> Plan:
    request = BuildRequest(
        variant=variant,
        arch=resolver.arch,
        upstream=checkout.upstream,
        origin=checkout.origin.model_copy(update={"release": release}),
        source_date=SourceDate(epoch=0, source="not compared"),
        outputs=parse_outputs(DEFAULT_OUTPUTS),
    )
    return await look_up_plan(request, resolver)


async def apply_update(source: dagger.Directory, update: Update) -> dagger.Changeset:
    """Write the newer versions into a checkout of this project."""
    made = source
    if update.release:
        made = made.with_new_file(PINS, updates.with_release(await source.file(PINS).contents(), update.release))
    for path in pins.NAMED_IN if update.tools else ():
        text = await made.file(path).contents()
        for pinned, newer_image in update.tools.items():
            text = text.replace(pinned, newer_image)
        made = made.with_new_file(path, text)
    for name in sorted({one.variant for one in update.extensions if one.builtin}):
        path = f"{BUILTIN.name}/{name}.yaml"
        newer = [one for one in update.extensions if one.variant == name]
        made = made.with_new_file(path, updates.with_extensions(path, await source.file(path).contents(), newer))
    return made.changes(source)
