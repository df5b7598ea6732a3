"""Asking registries for the platforms of images: each manifest once, several at a time, what is known not again."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

import anyio

from ci.common.concurrency import gather_each
from ci.common.errors import CozystackTalosError
from ci.common.references import is_digest
from ci.workloads.answers import Answers, Entry, Manifest, Newest, Platform
from ci.workloads.loose import items, mapping

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

#: Requests at a time: to one registry, and to all.
AT_A_REGISTRY: Final = 6
AT_ALL: Final = 24
#: Newer tags that are looked at for one with the architecture.
_TAGS_TRIED: Final = 5
_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_ATTESTATION: Final = "vnd.docker.reference.type"
_NUMBERED: Final = re.compile(r"v?(?P<numbers>[0-9]+(?:\.[0-9]+)+)(?P<rest>[A-Za-z0-9_.-]*)")


class Fetched(NamedTuple):
    """A manifest as a registry gave it."""

    content: bytes
    digest: str


class Registries(Protocol):
    """What is asked of registries; errors are `CozystackTalosError`s in words."""

    async def manifest(self, repository: str, reference: str) -> Fetched | None:
        """Return a manifest by tag or digest, `None` where there is none."""
        ...

    async def blob(self, repository: str, digest: str) -> bytes | None:
        """Return a small blob."""
        ...

    async def tags(self, repository: str) -> list[str]:
        """Return a repository's tags."""
        ...


class Lookup:
    """Answers that grow: what a file had, and what registries say to the rest."""

    def __init__(self, registries: Registries | None, known: Answers | None = None) -> None:
        self._registries = registries
        found = known or Answers()
        self._digests = dict(found.digests)
        self._manifests = dict(found.manifests)
        self._problems = dict(found.problems)
        self._entries = dict(found.entries)
        self._newest = dict(found.newest)
        self._all = anyio.Semaphore(AT_ALL)
        self._each: defaultdict[str, anyio.Semaphore] = defaultdict(lambda: anyio.Semaphore(AT_A_REGISTRY))
        self._asked: dict[str, anyio.Lock] = {}

    @property
    def answers(self) -> Answers:
        """All that is known by now."""
        return Answers(
            digests=self._digests,
            manifests=self._manifests,
            problems=self._problems,
            entries=self._entries,
            newest=self._newest,
        )

    async def images(self, references: Iterable[str]) -> None:
        """Look references up; what fails is kept as a problem, and says why."""
        await gather_each(self._image, dict.fromkeys(references))

    async def newest(self, repositories: Iterable[str], platform: str) -> None:
        """Look for the newest tag of repositories that has a platform."""

        async def one(repository: str) -> None:
            key = f"{repository} {platform}"
            if key in self._newest or self._registries is None:
                return
            try:
                self._newest[key] = await self._newest_of(repository, platform)
            except CozystackTalosError as error:
                self._newest[key] = Newest(problem=str(error))

        await gather_each(one, dict.fromkeys(repositories))

    async def entries(
        self, references: Iterable[str], platform: str, look: Callable[[str, str], Awaitable[Entry]]
    ) -> None:
        """Have `look` look into each image's manifest of a platform, by repository and digest."""

        async def one(reference: str) -> None:
            manifest = self.answers.manifest(reference)
            digest = manifest.digest_for(platform) if manifest else None
            if digest is None or digest in self._entries:
                return
            repository = repository_of(reference)
            async with self._asked.setdefault(digest, anyio.Lock()):
                if digest not in self._entries:
                    async with self._each[repository.partition("/")[0]]:
                        try:
                            self._entries[digest] = await look(repository, digest)
                        except CozystackTalosError as error:
                            self._entries[digest] = Entry(path="", problem=str(error))

        if self._registries is not None:
            await gather_each(one, dict.fromkeys(references))

    async def _image(self, reference: str) -> None:
        own = reference.partition("@")[2]
        # Two references may have one digest: the second waits, and finds it known.
        async with self._asked.setdefault(own or reference, anyio.Lock()):
            digest = own or self._digests.get(reference)
            if digest and digest in self._manifests:
                self._problems.pop(reference, None)
                return
            if self._registries is None:
                self._problems.setdefault(reference, "it is not among the recorded answers")
                return
            try:
                found = await self._manifest(repository_of(reference), own or tag_of(reference))
            except CozystackTalosError as error:
                self._problems[reference] = str(error)
                return
            if found is None:
                self._problems[reference] = "its registry has no such image"
                return
            digest, manifest = found
            self._manifests[digest] = manifest
            self._problems.pop(reference, None)
            if not own:
                self._digests[reference] = digest

    async def _limited(self, repository: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        async with self._all, self._each[repository.partition("/")[0]]:
            return await ask()

    async def _manifest(self, repository: str, reference: str) -> tuple[str, Manifest] | None:
        registries = self._registries
        assert registries is not None
        fetched: Fetched | None = await self._limited(repository, lambda: registries.manifest(repository, reference))
        if fetched is None:
            return None
        document = read_json(fetched.content, repository)
        if "manifests" in document or document.get("mediaType") in _INDEXES:
            return fetched.digest, Manifest(index=True, platforms=tuple(_platforms(document)))
        digest = str(mapping(document.get("config")).get("digest", ""))
        if not is_digest(digest):
            raise RegistryAnswerError(f"{repository}: the manifest has no configuration: it is no image of this kind")
        content: bytes | None = await self._limited(repository, lambda: registries.blob(repository, digest))
        if content is None:
            raise RegistryAnswerError(f"{repository}: its registry does not have the image's configuration {digest}")
        name = platform_name(read_json(content, repository))
        return fetched.digest, Manifest(index=False, platforms=(Platform(name=name, digest=fetched.digest),))

    async def _newest_of(self, repository: str, platform: str) -> Newest:
        registries = self._registries
        assert registries is not None
        tags: list[str] = await self._limited(repository, lambda: registries.tags(repository))
        for tag in by_version(tags)[:_TAGS_TRIED]:
            found = await self._manifest(repository, tag)
            if found and found[1].digest_for(platform):
                self._manifests[found[0]] = found[1]
                return Newest(tag=tag)
        return Newest()


class RegistryAnswerError(CozystackTalosError):
    """A registry answered with something that is no image."""


def read_json(content: bytes, called: str) -> dict[str, Any]:
    """Return a registry's document; raises `RegistryAnswerError` where it is none."""
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise RegistryAnswerError(f"{called}: its registry answers with something that is not a manifest")
    return cast("dict[str, Any]", document)


def platform_name(about: Any) -> str:
    """Return a platform as references name it: `linux/arm64`, `linux/arm/v7`."""
    one = mapping(about)
    return "/".join(str(part) for part in (one.get("os"), one.get("architecture"), one.get("variant")) if part)


def _platforms(index: dict[str, Any]) -> Iterable[Platform]:
    for one in map(mapping, items(index.get("manifests"))):
        name, digest = platform_name(one.get("platform")), str(one.get("digest", ""))
        # An attestation has the platform unknown/unknown: it is about an image, and none itself.
        if not name or name.startswith("unknown") or not is_digest(digest):
            continue
        if _ATTESTATION in mapping(one.get("annotations")):
            continue
        yield Platform(name=name, digest=digest)


def repository_of(reference: str) -> str:
    """Return a reference's repository, its registry first."""
    name = reference.partition("@")[0]
    head, _, last = name.rpartition("/")
    return f"{head}/{last.partition(':')[0]}"


def tag_of(reference: str) -> str:
    """Return a reference's tag."""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[2] or "latest"


def by_version(tags: Iterable[str]) -> list[str]:
    """Return the tags that are versions, the newest first; those with an ending (`-rc.1`, `-alpine`) come last."""
    found: list[tuple[bool, tuple[int, ...], str]] = []
    for tag in tags:
        match = _NUMBERED.fullmatch(tag)
        if match:
            numbers = tuple(int(part[:9]) for part in match["numbers"].split("."))
            found.append((not match["rest"], numbers, tag))
    return [tag for _, _, tag in sorted(found, reverse=True)]
