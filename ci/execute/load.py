"""Reading what a plan is made of through the engine: the checkout, the catalog, and the digests of tags."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import dagger
from dagger import dag

from ci.common import pins
from ci.common.concurrency import Memo, gather_each, gather_two
from ci.common.errors import (
    BuildError,
    FileError,
    NotFoundInRegistryError,
    PlanError,
    UpstreamError,
    VariantError,
    said,
)
from ci.common.references import parse_reference
from ci.common.text import without_credentials
from ci.common.yamltext import check_size
from ci.execute import commands
from ci.execute.asking import together
from ci.execute.sdk import commit_of, git_tag, known_by_id, with_image
from ci.execute.tools import tools
from ci.load import variant
from ci.load.catalog import DESCRIPTIONS, IMAGE_DIGESTS, Catalog, parse_catalog
from ci.load.layouts import PATTERNS
from ci.load.upstream import Upstream, load_upstream, parse_release
from ci.plan.make import BuildRequest, make_plan
from ci.plan.model import Origin, Plan
from ci.plan.quirks import is_installer
from ci.report.pulled import Pulled
from ci.resolve.digests import resolve_all
from ci.resolve.model import ImageUse, Need
from ci.resolve.needs import catalog_need, catalog_of, extension_needs, release_needs
from ci.upkeep.description import DESCRIPTION, parse_description

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from ci.common import yamltext
    from ci.common.arch import Arch
    from ci.common.references import PinnedImage
    from ci.load.variant import Variant, Variants
    from ci.resolve.model import FileExtension

T = TypeVar("T")

#: What registries say when they have no such image; anything else is no answer.
_NOT_FOUND = ("not found", "manifest unknown", "name unknown")


@dataclass(frozen=True)
class Checkout:
    """CozyStack's sources: the folder, where it is from, and what it says."""

    folder: dagger.Directory
    origin: Origin
    upstream: Upstream
    #: Of the commit, in seconds since 1970.
    date: int | None


async def read_texts(
    folder: dagger.Directory, patterns: tuple[str, ...], error: type[FileError] = UpstreamError
) -> dict[str, str]:
    """Return path → text of the files that fit the patterns; raises `error` for one that is too large to be one."""
    return await _read(folder, await _matching(folder, patterns), error)


async def _matching(folder: dagger.Directory, patterns: tuple[str, ...]) -> set[str]:
    with together():
        found = await gather_each(folder.glob, patterns)
    return {path for paths in found for path in paths if not path.endswith("/")}


async def _read(folder: dagger.Directory, paths: set[str], error: type[FileError]) -> dict[str, str]:
    async def read(path: str) -> str:
        file = folder.file(path)
        # Asked first: a file of some hundred megabytes would go through the engine, and into memory.
        check_size(await file.size(), path, error)
        return await file.contents()

    files = sorted(paths)
    with together():
        return dict(zip(files, await gather_each(read, files), strict=True))


class Sources:
    """CozyStack's sources, a checkout that was given or a release: each thing is read once, when it is needed.

    What git says of a checkout needs a container, and nothing that is looked up needs what git says.
    """

    def __init__(
        self, folder: dagger.Directory | None, release: str | None, repository: str = pins.COZYSTACK_GIT
    ) -> None:
        self._given = (folder, release, repository)
        self._opened = Memo[None, tuple[dagger.Directory, Origin]]()
        self._upstreams = Memo[None, Upstream]()
        self._told = Memo[None, dict[str, str | int]]()

    async def upstream(self) -> Upstream:
        """Return what the sources say; raises `UpstreamError` where they can't be understood."""
        return await self._upstreams.get(None, self._read)

    async def checkout(self) -> Checkout:
        """Return the sources with all that is known of them.

        Raises `UpstreamError` where checkout and release are both given, the release is no tag, or the checkout can't
        be understood.
        """
        folder, origin = await self._open()
        upstream, told = await gather_two(self.upstream, lambda: self._told.get(None, lambda: _told_by_git(folder)))
        commit, date = told.get("commit"), told.get("date")
        if isinstance(commit, str):
            origin = origin.model_copy(update={"commit": commit})
        return Checkout(folder, origin, upstream, date if isinstance(date, int) else None)

    async def _read(self) -> Upstream:
        folder, origin = await self._open()
        called = "--upstream" if origin.release is None else f"{origin.where}#{origin.release}"
        return load_upstream(await read_texts(folder, PATTERNS), called)

    async def _open(self) -> tuple[dagger.Directory, Origin]:
        return await self._opened.get(None, lambda: _open_checkout(*self._given))


async def load_checkout(
    folder: dagger.Directory | None, release: str | None, repository: str = pins.COZYSTACK_GIT
) -> Checkout:
    """Read a checkout: the one given, or CozyStack's release from its git repository; raises as `Sources` does."""
    return await Sources(folder, release, repository).checkout()


async def _open_checkout(
    folder: dagger.Directory | None, release: str | None, repository: str
) -> tuple[dagger.Directory, Origin]:
    """Return the folder of a checkout, and where it is from as far as that is known without reading it."""
    if release is not None:
        parse_release(release)
    if folder is not None and release is not None:
        raise UpstreamError(
            "--upstream", None, f"a checkout and the release {release} are both given: leave out one of them"
        )
    if folder is not None:
        return folder, Origin(where="given as --upstream")
    tag = release or pins.DEFAULT_RELEASE.tag
    # By its id: each query that names the way from the repository on looks the tag up anew.
    ref = await from_repository(repository, tag, known_by_id(git_tag(dag.git(repository), tag)))
    commit = await from_repository(repository, tag, commit_of(ref))
    return ref.tree(), Origin(where=without_credentials(repository), release=tag, commit=commit)


async def from_repository(repository: str, asked: str, answer: Awaitable[T]) -> T:
    """Return what a git repository answers; an error names both, of which Dagger's engine leaves out at least one."""
    try:
        return await answer
    except dagger.QueryError as error:
        if repository in str(error):
            raise
        raise BuildError(
            f"can't read {asked} from the git repository {repository}: {said(error)}\n"
            "What git printed is in the progress (without --silent). The engine has to reach the repository; a "
            "checkout on this machine does without: --upstream DIR"
        ) from None


async def _told_by_git(folder: dagger.Directory) -> dict[str, str | int]:
    if not await folder.exists(".git/HEAD"):
        return {}
    container, git = await gather_two(lambda: tools("ci.steps.commit"), lambda: known_by_id(folder.directory(".git")))
    reader = container.with_mounted_directory("/checkout/.git", git, read_only=True)
    return json.loads(await reader.with_exec(commands.describe_commit("/checkout")).stdout())


async def load_variants(folder: dagger.Directory | None) -> Variants:
    """Return the built-in variants and those of a folder; a folder without any is refused."""
    variants = variant.read_variants(variant.BUILTIN)
    if folder is None:
        return variants
    own = variant.load_variants(await read_texts(folder, ("*.yaml", "*.yml"), VariantError))
    if not own.names:
        raise VariantError("--variants", None, "no variant in this folder: add NAME.yaml")
    return variants.merged(own)


class EngineResolver:
    """Look tags up in their registries through the engine, so that its mirrors and credentials apply."""

    def __init__(self, arch: Arch) -> None:
        self._platform = dagger.Platform(arch.platform)
        self.arch = arch
        self._digests = Memo[str, str]()

    async def resolve(self, reference: str) -> str:
        """Return the digest that a tag points to."""
        return await self._digests.get(reference, lambda: self._look_up(reference))

    async def _look_up(self, reference: str) -> str:
        # the imager and the tools run on the engine's own platform, all else is for the nodes'
        own = reference.startswith((f"{pins.IMAGER}:", *(tool.partition("@")[0] for tool in pins.TOOLS)))
        container = dag.container() if own else dag.container(platform=self._platform)
        try:
            found = await with_image(container, reference).image_ref()
        except dagger.QueryError as error:
            if any(sign in str(error).lower() for sign in _NOT_FOUND):
                raise NotFoundInRegistryError(f"{reference}: {said(error)}") from None
            raise
        return found.rpartition("@")[2]


@dataclass(frozen=True)
class LookedUp:
    """What registries say of what a plan is made of."""

    catalog: Catalog | None
    found: Mapping[str, PinnedImage]
    stand_in: bool
    #: Of the engine, where an overlay is to run there.
    host_platform: str | None

    def plan(self, request: BuildRequest) -> Plan:
        """Return the plan of a request, of the variant, architecture, sources and files that were looked up."""
        if self.host_platform is not None:
            request = replace(request, host_platform=self.host_platform)
        return make_plan(request, self.catalog, self.found, stand_in=self.stand_in)


async def look_up_plan(request: BuildRequest, resolver: EngineResolver) -> Plan:
    """Plan a build: everything looked up that has to be."""
    found = await look_up(request.variant, request.arch, request.upstream, request.files, resolver)
    return found.plan(request)


async def look_up(
    variant: Variant, arch: Arch, upstream: Upstream, files: tuple[FileExtension, ...], resolver: EngineResolver
) -> LookedUp:
    """Look up what a variant's plan needs."""
    host_platform = str(await dag.default_platform()) if variant.spec.overlay else None
    need = catalog_need(variant, upstream, files)
    # What is known without the catalog is looked up at the same time.
    with together():
        found = await resolve_all([*release_needs(upstream), *([need] if need else [])], resolver)

    async def choose() -> Catalog | None:
        catalog = await _read_catalog(found[need.use].pinned) if need else None
        found.update(await resolve_all(extension_needs(variant, arch, upstream, catalog, files), resolver))
        return catalog

    label = dag.container().from_(found[ImageUse.IMAGER].pinned).label
    base = found[ImageUse.INSTALLER_BASE]
    with together():
        (catalog, stand_in), _ = await gather_two(
            lambda: gather_two(choose, lambda: label(pins.STAND_IN_LABEL)),
            lambda: gather_two(lambda: check_installer_base(base, arch), lambda: check_pinned(variant, resolver)),
        )
    return LookedUp(catalog, found, stand_in == "true", host_platform)


async def check_installer_base(base: PinnedImage, arch: Arch) -> None:
    """Raise `PlanError` for a base installer that starts no installer: nodes would run something else instead.

    The imager takes any image, and nodes find out at their upgrade (siderolabs/talos, issue 11426).
    """
    entrypoint = await dag.container(platform=dagger.Platform(arch.platform)).from_(base.pinned).entrypoint()
    if not entrypoint or not is_installer(entrypoint[0]):
        starts = f"it starts {' '.join(entrypoint)}" if entrypoint else "it has no entry point"
        raise PlanError(
            f"{base.pinned} is no installer: {starts}, an installer starts /bin/installer. It is what upstream's "
            "profiles name as input.baseInstaller: name installer-base there, not imager or talos"
        )


async def check_pinned(named_by: Variant, resolver: EngineResolver) -> None:
    """Raise `VariantError` where a variant names an image by a digest that its registry does not have."""
    spec = named_by.spec
    named: list[tuple[yamltext.Path, str | None]] = [
        (("extensions", "add", index), one.reference) for index, one in enumerate(spec.extensions.add)
    ]
    named += [(("overlay", "image"), spec.overlay.image)] if spec.overlay else []

    async def check(item: tuple[yamltext.Path, str | None]) -> None:
        place, reference = item
        if reference is None:
            return
        try:
            await resolver.resolve(reference)
        except NotFoundInRegistryError as error:
            raise named_by.error(place, f"there is no such image: {error}") from None

    await gather_each(check, named)


async def load_catalog(upstream: Upstream, resolver: EngineResolver) -> Catalog:
    """Return the extension catalog of a checkout's Talos version."""
    need = catalog_of(upstream)
    return await _read_catalog((await resolve_all([need], resolver))[need.use].pinned)


async def tool_images(checkout: Checkout, resolver: EngineResolver) -> tuple[Pulled, ...]:
    """Return the images that are pulled whatever is planned."""
    described = parse_description(DESCRIPTION.read_text()).dagger
    matchbox = checkout.upstream.matchbox
    netboot = matchbox.base if matchbox and matchbox.base else parse_reference(pins.MATCHBOX)
    needs = (
        Need("tools", (parse_reference(pins.PYTHON),)),
        Need("shell", (parse_reference(pins.BUSYBOX),)),
        Need("signatures", (parse_reference(pins.COSIGN),)),
        Need("images", (parse_reference(pins.CRANE),)),
        Need("charts", (parse_reference(pins.HELM),)),
        Need("netboot", (netboot,)),
    )
    found = await resolve_all(needs, resolver)
    return (
        Pulled(described.engine, "Dagger's engine and command line"),
        Pulled(described.sdk, "base of Dagger's Python SDK"),
        Pulled(found["tools"].pinned, "reads and checks files, runs the tests"),
        Pulled(found["shell"].pinned, "a shell next to the imager"),
        Pulled(found["signatures"].pinned, "makes and checks signatures"),
        Pulled(found["images"].pinned, "looks at images"),
        Pulled(found["charts"].pinned, "renders charts, for `workloads --render`"),
        Pulled(found["netboot"].pinned, "netboot server"),
    )


async def _read_catalog(pinned: str) -> Catalog:
    root = dag.container().from_(pinned).rootfs()
    texts = await _read(root, {IMAGE_DIGESTS, DESCRIPTIONS}.intersection(await root.entries()), FileError)
    return parse_catalog(texts.get(IMAGE_DIGESTS, ""), texts.get(DESCRIPTIONS, ""))
