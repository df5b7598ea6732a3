"""What differs between the SDKs of Dagger 0.21 and 1.0, and what both have under a name that is not public: here only.

The SDK is made from the schema that the engine shows to this module, which follows from `engineVersion` in dagger.json.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar, cast

import dagger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

D = TypeVar("D", dagger.File, dagger.Directory, dagger.Container, dagger.GitRef)


async def known_by_id(made: D) -> D:
    """Return the same, which the engine then knows by an id: what it is made of goes to it but this once.

    The SDK asks for the id of a file or folder each time that it is given to something, with all that it is made of.
    Of what is returned here the id is known, and not asked for again.
    """
    # As the SDK itself loads what `sync` returns. Its `load_*_from_id` are gone in 1.0; this is in both.
    known: Any = await made.id()
    found = type(made)(made._ctx.select_id(made._graphql_name(), known))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    async def already() -> Any:
        return known

    found.id = already
    return found


def commit_of(ref: dagger.GitRef) -> Awaitable[str]:
    """Return the commit that a git reference names."""
    # 1.0 warns of `commit`, and calls it `commitSHA`, which 0.21's schema lacks.
    asked: Any = ref
    return cast("Awaitable[str]", (getattr(asked, "commit_sha", None) or asked.commit)())


def _live(lookup: Callable[..., Any]) -> dict[str, Any]:
    """Return the argument that keeps a look-up out of a lock file, where the engine's API has it."""
    # Dagger 1.0 keeps what a tag named in dagger.lock, and names it again for ever. Betas up to 1.0.0-beta.10 lack the
    # argument and keep what this module looks up, too: there daggerw removes the file before a call.
    return {"no_lock": True} if "no_lock" in inspect.signature(lookup).parameters else {}


def with_image(container: dagger.Container, reference: str) -> dagger.Container:
    """Return a container of an image, of a tag as its registry has it now."""
    return container.from_(reference, **_live(container.from_))


def git_tag(repository: dagger.GitRepository, name: str) -> dagger.GitRef:
    """Return a tag of a git repository, as the repository has it now."""
    return repository.tag(name, **_live(repository.tag))
