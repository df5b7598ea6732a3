"""CozyStack's workloads through the engine: the checkout read in a container, registries asked from here."""

from __future__ import annotations

import json
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import dagger
from anyio import to_thread
from dagger import dag

from ci.common import pins
from ci.common.errors import BuildError, RegistryError, UpstreamError, UserError
from ci.common.progress import say
from ci.common.text import without_credentials
from ci.execute import commands
from ci.execute.load import from_repository
from ci.execute.sdk import commit_of, git_tag, known_by_id
from ci.execute.tools import OUT, tools
from ci.inspect.errors import InspectError
from ci.inspect.source import FileSource
from ci.load.upstream import parse_release
from ci.publish.address import Address, parse_address
from ci.publish.auth import Credentials
from ci.publish.cosign import Mirrors, parse_mirrors
from ci.publish.reading import Reader
from ci.upkeep import updates
from ci.workloads import advise
from ci.workloads.answers import Answers, Entry, parse_answers
from ci.workloads.deep import LARGEST_LAYER, MOST_LAYERS, Search
from ci.workloads.lookup import Fetched, Lookup, read_json
from ci.workloads.loose import items, mapping
from ci.workloads.model import Workloads
from ci.workloads.needs import only
from ci.workloads.report import Report
from ci.workloads.verdict import judge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    import httpx

    from ci.common.arch import Arch
    from ci.execute.registry import Login
    from ci.workloads.verdict import Verdict

#: Words that stand for releases.
NEWEST: Final = "newest"
PINNED: Final = "pinned"
_CHECKOUT: Final = "/checkout"
_VALUES: Final = "/in/values.yaml"
_RENDERED: Final = "/rendered"
#: What CozyStack hands down to every chart, as far as charts fail without it.
HANDED_DOWN: Final = json.dumps(
    {
        "_cluster": {"root-host": "example.org", "cluster-domain": "cozy.local", "oidc-enabled": "false"},
        "_namespace": {
            "host": "example.org",
            "etcd": "tenant-root",
            "ingress": "tenant-root",
            "monitoring": "tenant-root",
        },
    }
)
#: The largest file of recorded answers that is read.
_LARGEST: Final = 64 << 20


@dataclass(frozen=True)
class Asked:
    """How registries are asked, and how charts are read."""

    arch: Arch
    bundles: tuple[str, ...]
    mirrors: Mirrors
    login: Login | None
    offline: dagger.File | None
    deep: bool
    render: bool
    rendered: dagger.Directory | None

    @classmethod
    def of(
        cls,
        arch: Arch,
        login: Login | None,
        *,
        bundles: Sequence[str] | None = None,
        mirrors: Sequence[str] | None = None,
        offline: dagger.File | None = None,
        deep: bool = False,
        render: bool = False,
        rendered: dagger.Directory | None = None,
    ) -> Asked:
        """Return what is asked; raises `UserError` for arguments that do not go together."""
        if offline is not None and deep:
            raise UserError("--deep reads images, --offline asks no registry: give one of them")
        if render and rendered is not None:
            raise UserError(
                "--render has Helm render the charts, --rendered has what it made of them: give one of them"
            )
        return cls(arch, tuple(bundles or ()), parse_mirrors(mirrors or []), login, offline, deep, render, rendered)


@dataclass(frozen=True)
class Found:
    """A checkout's workloads, and what the checkout is called."""

    title: str
    workloads: Workloads


async def release_tag(release: str | None, pinned: str | None) -> str:
    """Return the tag of a release: `newest` and `pinned` (the module's own `--release`) stand for one."""
    current = parse_release(pinned or pins.DEFAULT_RELEASE.tag)
    if release == NEWEST:
        tags = await from_repository(
            pins.COZYSTACK_GIT, "the releases", dag.git(pins.COZYSTACK_GIT).tags(patterns=["v*"])
        )
        return updates.newest(tags, current) or current
    return current if release in (None, PINNED) else parse_release(release or "")


async def find(folder: dagger.Directory | None, release: str | None, asked: Asked, pinned: str | None = None) -> Found:
    """Read a checkout: the folder given, or the release's tag of CozyStack's repository.

    Raises `UpstreamError` where both are given, and for a folder that has no packages.
    """
    if folder is not None and release is not None:
        raise UpstreamError(
            "--upstream", None, f"a checkout and the release {release} are both given: leave out one of them"
        )
    if asked.login is not None:  # the engine pulls images, too: those in which files are read
        await asked.login.log_in()
    if folder is not None:
        title, called = "the checkout given as --upstream", "--upstream"
    else:
        tag = await release_tag(release, pinned)
        ref = await from_repository(pins.COZYSTACK_GIT, tag, known_by_id(git_tag(dag.git(pins.COZYSTACK_GIT), tag)))
        commit = await from_repository(pins.COZYSTACK_GIT, tag, commit_of(ref))
        folder = ref.tree()
        title = f"CozyStack {tag} (commit {commit})"
        called = f"{without_credentials(pins.COZYSTACK_GIT)}#{tag}"
    reader = (await tools("ci.steps.workloads")).with_mounted_directory(_CHECKOUT, folder, read_only=True)
    rendered = await _rendered(folder) if asked.render else asked.rendered
    if rendered is not None:
        reader = reader.with_mounted_directory(_RENDERED, rendered, read_only=True)
    command = commands.find_workloads(_CHECKOUT, called, _RENDERED if rendered is not None else None)
    run = reader.with_exec(command, expect=dagger.ReturnType.ANY)
    if await run.exit_code() != 0:
        raise BuildError((await run.stderr()).strip().removeprefix("error: "))
    found = Workloads.model_validate_json(await run.stdout())
    return Found(title, only(found, asked.bundles) if asked.bundles else found)


async def _rendered(folder: dagger.Directory) -> dagger.Directory:
    command = commands.helm_templates(_CHECKOUT, _VALUES, OUT)
    container = (
        dag.container()
        .from_(pins.HELM)
        .with_mounted_directory(_CHECKOUT, folder, read_only=True)
        .with_new_file(_VALUES, HANDED_DOWN)
        .with_directory(OUT, dag.directory())
        .with_exec(command)
    )
    return container.directory(OUT)


async def recorded(offline: dagger.File | None) -> Answers | None:
    """Return the recorded answers of a file; raises `FileError` for a file that has none."""
    if offline is None:
        return None
    size = await offline.size()
    if size > _LARGEST:
        raise UserError(f"--offline: {size} bytes are too many for recorded answers (limit {_LARGEST})")
    return parse_answers(await offline.contents())


async def report(found: Found, asked: Asked, known: Answers | None) -> Report:
    """Return the report on a checkout; with recorded answers no registry is asked."""
    arch = asked.arch.value
    platform = asked.arch.platform
    remarks: list[str] = []

    def waited(text: str) -> None:
        say(text)
        remarks.append(text)

    async with AsyncExitStack() as stack:
        registries = None if asked.offline is not None else EngineRegistries(stack, asked, waited)
        lookup = Lookup(registries, known)
        running = [image.reference for package in found.workloads.packages for image in package.images]
        await lookup.images(running)
        if asked.deep and registries is not None:
            runs = {image.reference for package in found.workloads.packages for image in package.images if image.runs}
            await lookup.entries(sorted(runs), platform, registries.entry)
        verdict = judge(found.workloads, lookup.answers, arch)
        missing = advise.lacking(verdict)
        await lookup.images(advise.bases_to_ask(found.workloads, missing))
        await lookup.newest(advise.others(found.workloads, missing), platform)
        return Report(
            checkout=found.title,
            verdict=verdict,
            advice=advise.advise(found.workloads, verdict, lookup.answers),
            rendered=asked.render or asked.rendered is not None,
            remarks=tuple(dict.fromkeys(remarks)),
            answers=lookup.answers,
        )


def selectors(found: Found, verdict: Verdict) -> list[dict[str, Any]]:
    """Return the patches that keep pods on amd64 nodes whose images are not there for the architecture."""
    paths = {package.name: package.selectors for package in found.workloads.packages}
    return advise.node_selectors(verdict, paths, verdict.arch)


@dataclass
class EngineRegistries:
    """The registries that images are in, each with its login and at its mirror; connections close with the stack."""

    _stack: AsyncExitStack
    _asked: Asked
    _waited: Callable[[str], None]
    #: In place of the network, for tests.
    transport: httpx.AsyncBaseTransport | None = None
    _readers: dict[str, tuple[Reader, Address]] = field(default_factory=dict[str, "tuple[Reader, Address]"])

    async def manifest(self, repository: str, reference: str) -> Fetched | None:
        """Return a manifest by tag or digest, `None` where there is none."""
        reader, name = await self._reader(repository)
        found = await reader.image(name, reference)
        return Fetched(found[0].content, found[1]) if found else None

    async def blob(self, repository: str, digest: str) -> bytes | None:
        """Return a small blob."""
        reader, name = await self._reader(repository)
        return await reader.blob(name, digest)

    async def tags(self, repository: str) -> list[str]:
        """Return a repository's tags."""
        reader, name = await self._reader(repository)
        return await reader.tags(name)

    async def entry(self, repository: str, digest: str) -> Entry:
        """Return what starts in the image of one platform, its layers read until that is known."""
        fetched = await self.manifest(repository, digest)
        if fetched is None:
            raise RegistryError(f"{repository}: its registry does not have the manifest {digest}")
        manifest = read_json(fetched.content, repository)
        content = await self.blob(repository, str(mapping(manifest.get("config")).get("digest", "")))
        if content is None:
            raise RegistryError(f"{repository}: its registry does not have the image's configuration")
        search = Search(read_json(content, repository))
        answer = search.result(last=False)
        layers = items(manifest.get("layers"))[::-1][:MOST_LAYERS]
        async for number, source in self._layers(repository, layers):
            if answer is None:
                try:
                    await to_thread.run_sync(search.add, source)
                except InspectError as error:
                    return Entry(path=search.command, problem=str(error))
                answer = search.result(last=number + 1 == len(layers))
            if answer is not None:
                break
        return answer or Entry(path=search.command, problem="the image has no layers")

    async def _layers(self, repository: str, layers: list[Any]) -> AsyncIterator[tuple[int, FileSource]]:
        reader, name = await self._reader(repository)
        for number, layer in enumerate(layers):
            digest = str(mapping(layer).get("digest", ""))
            with tempfile.TemporaryFile() as file:
                await reader.download(name, digest, cast("BinaryIO", file), LARGEST_LAYER)
                file.flush()
                yield number, FileSource(f"{repository}@{digest}", cast("BinaryIO", file))

    async def _reader(self, repository: str) -> tuple[Reader, str]:
        registry, _, path = repository.partition("/")
        if registry not in self._readers:
            address = parse_address(self._asked.mirrors.get(registry, registry))
            login = self._asked.login
            credentials = None
            if login and login.address in (registry, address.host):
                credentials = Credentials(login.username, await login.password.plaintext())
            if registry not in self._readers:  # another may have been as fast
                reader = Reader(Address(address.host, ""), credentials, transport=self.transport, waited=self._waited)
                self._readers[registry] = await self._stack.enter_async_context(reader), address
        reader, address = self._readers[registry]
        return reader, address.repository(path)
