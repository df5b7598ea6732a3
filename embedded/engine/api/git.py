"""Git repositories: BuildKit fetches the trees, the machine's `git ls-remote` tells refs and commits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from dataclasses import dataclass
from typing import Any, ClassVar

from packaging.version import InvalidVersion, Version
from wcmatch import fnmatch

from embedded.engine import llb
from embedded.engine.api.context import Engine
from embedded.engine.api.registry import resolver
from embedded.engine.api.values import Directory
from embedded.engine.errors import EngineError, UnsupportedError
from embedded.engine.events import step
from embedded.engine.waiting import host_of, network_seconds, silent_error
from embedded.shown import shown, without_passwords

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SCHEME = re.compile(r"^[a-z]+://|^git@")


@dataclass(frozen=True)
class GitRepository:
    TYPE: ClassVar[str] = "GitRepository"
    url: str
    keep_git_dir: bool = True


@dataclass(frozen=True)
class GitRef:
    """A ref with the commit that it was when it was asked for."""

    TYPE: ClassVar[str] = "GitRef"
    repository: GitRepository
    ref: str
    commit: str


@resolver("Query", "git")
async def git(_: object, engine: Engine, url: str, keep_git_dir: bool = True, **special: Any) -> GitRepository:
    if asked := [name for name, value in special.items() if value]:
        raise UnsupportedError(f"Query.git({', '.join(asked)}: …)")
    if url.startswith("file:"):
        raise EngineError(
            f"can't read the git repository {shown(url)}: the engine fetches repositories over the network",
            "Give the folder itself where a directory is asked for: /path/to/checkout instead of file:///path/to/checkout.",
        )
    return GitRepository(url if _SCHEME.match(url) else f"https://{url}", keep_git_dir)


async def ls_remote(engine: Engine, repository: GitRepository, *patterns: str) -> dict[str, str]:
    """Ref → commit, annotated tags already followed to their commit."""
    url = shown(repository.url)
    try:
        process = await asyncio.create_subprocess_exec(
            "git",
            "ls-remote",
            "--",
            repository.url,
            *patterns,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"GIT_TERMINAL_PROMPT": "0"},
            start_new_session=True,  # git leaves the connection to a program of its own, which ends with the group
        )
    except FileNotFoundError:
        raise EngineError(
            f"can't read the git repository {url}: there is no git on this machine",
            "Install git, or give a folder where a directory is asked for.",
        ) from None
    seconds = network_seconds()
    what = f"look up refs of {url}"
    try:
        with step(engine.on_step if engine else None, what):
            out, err = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        raise silent_error(host_of(f"fetch {repository.url}"), seconds, what) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        raise EngineError(
            f"can't read the git repository {url}: {_reason(err.decode(errors='replace'), repository.url)}",
            "Check the address and that it can be reached from here; a folder on this machine works too. "
            + engine.unreachable_hint,
        )
    refs: dict[str, str] = {}
    for line in out.decode(errors="replace").split("\n"):
        commit, _, name = line.partition("\t")
        if name.endswith("^{}"):
            refs[name[:-3]] = commit
        else:
            refs.setdefault(name, commit)
    return refs


def _reason(complaint: str, url: str) -> str:
    """Return git's last line that says something: a server's own words may stand before or behind it.

    What comes before the `@` of the address is left out, which git repeats without the rest of it, too.
    """
    if user_info := re.match(r"[a-z+]+://([^/]*)@", url):
        complaint = complaint.replace(user_info[1], "***")
    lines = [line.strip() for line in complaint.split("\n") if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:", "ERROR:"))]
    return shown((fatal or lines or ["no answer"])[-1], 500)


async def _refs(engine: Engine, repository: GitRepository, *patterns: str) -> dict[str, str]:
    """Ref → commit, as they were when this session first asked: each query of a call names the whole way to a tree."""
    key = (repository.url, *patterns)
    async with engine.lock(f"refs {key}"):
        if key not in engine.refs:
            engine.refs[key] = await ls_remote(engine, repository, *patterns)
    return engine.refs[key]


async def _find(engine: Engine, repository: GitRepository, *names: str) -> GitRef:
    refs = await _refs(engine, repository, *names, *(f"{name}^{{}}" for name in names))
    for name in names:
        if name in refs:
            return GitRef(repository, name, refs[name])
    wanted = names[0].removeprefix("refs/tags/")
    raise EngineError(f"the git repository {shown(repository.url)} has no ref {wanted!r}")


@resolver("GitRepository", "ref")
async def ref(self: GitRepository, engine: Engine, name: str) -> GitRef:
    if _COMMIT.fullmatch(name):
        return GitRef(self, name, name)
    if name.startswith("refs/") or name == "HEAD":
        return await _find(engine, self, name)
    return await _find(engine, self, f"refs/tags/{name}", f"refs/heads/{name}")


@resolver("GitRepository", "tag")
async def tag(self: GitRepository, engine: Engine, name: str) -> GitRef:
    return await _find(engine, self, f"refs/tags/{name.removeprefix('refs/tags/')}")


@resolver("GitRepository", "branch")
async def branch(self: GitRepository, engine: Engine, name: str) -> GitRef:
    return await _find(engine, self, f"refs/heads/{name.removeprefix('refs/heads/')}")


@resolver("GitRepository", "commit")
async def commit(self: GitRepository, engine: Engine, id: str) -> GitRef:
    if not _COMMIT.fullmatch(id):
        raise EngineError(f"not a commit: {id!r}; it takes all 40 hexadecimal digits")
    return GitRef(self, id, id)


@resolver("GitRepository", "head")
async def head(self: GitRepository, engine: Engine) -> GitRef:
    return await _find(engine, self, "HEAD")


@resolver("GitRepository", "url")
async def url(self: GitRepository, engine: Engine) -> str:
    return self.url


async def _names(engine: Engine, self: GitRepository, prefix: str, patterns: list[str] | None) -> list[str]:
    names = [name.removeprefix(prefix) for name in await _refs(engine, self) if name.startswith(prefix)]
    return sorted(name for name in names if not patterns or fnmatch.fnmatch(name, patterns))


@resolver("GitRepository", "tags")
async def tags(self: GitRepository, engine: Engine, patterns: list[str] | None = None) -> list[str]:
    return await _names(engine, self, "refs/tags/", patterns)


@resolver("GitRepository", "branches")
async def branches(self: GitRepository, engine: Engine, patterns: list[str] | None = None) -> list[str]:
    return await _names(engine, self, "refs/heads/", patterns)


@resolver("GitRepository", "latestVersion")
async def latest_version(self: GitRepository, engine: Engine) -> GitRef:
    versions: list[tuple[Version, str]] = []
    for name in await _names(engine, self, "refs/tags/", ["v*"]):
        try:
            version = Version(name)
        except InvalidVersion:
            continue
        if not version.is_prerelease:
            versions.append((version, name))
    if not versions:
        raise EngineError(f"the git repository {shown(self.url)} has no tag that is a version")
    return await _find(engine, self, f"refs/tags/{max(versions)[1]}")


@resolver("GitRef", "commit")
async def ref_commit(self: GitRef, engine: Engine) -> str:
    return self.commit


@resolver("GitRef", "ref")
async def ref_name(self: GitRef, engine: Engine) -> str:
    return self.ref


@resolver("GitRef", "tree")
async def tree(
    self: GitRef, engine: Engine, discard_git_dir: bool = False, depth: int = 1, include_tags: bool = False
) -> Directory:
    remote = re.sub(r"^[a-z]+://", "", self.repository.url)
    # By the commit, which is known, and as fetchbycommit: otherwise BuildKit asks the repository for the ref in each
    # session, even for a tree in its cache, or fetches all that leads to the commit.
    attrs = {"git.fullurl": self.repository.url, "git.checksum": self.commit, "git.fetchbycommit": "true"}
    if self.repository.keep_git_dir and not discard_git_dir:
        attrs["git.keepgitdir"] = "true"
    name = f"fetch {without_passwords(self.repository.url)} {self.ref}"
    return Directory(llb.source(f"git://{remote}#{self.commit}", attrs, name=name))
