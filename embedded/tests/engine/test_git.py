"""What can't be read as a git repository is told in words, before anything is fetched."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from types import SimpleNamespace
from typing import Any, cast

import pytest

from embedded.engine.api.git import GitRef, GitRepository, git, ls_remote, tag, tree
from embedded.engine.api.host import is_git
from embedded.engine.errors import EngineError
from embedded.engine.protos import pb

ENGINE = cast("Any", None)


@pytest.mark.parametrize(
    "text",
    [
        "https://github.com/cozystack/cozystack",
        "https://github.com/cozystack/cozystack.git",
        "https://github.com/cozystack/cozystack.git#v1.6.2:docs",
        "HTTP://example.com/a",
        "ssh://git@example.com/a",
        "git://example.com/a#main",
        "git@example.com:a/b",
        "me@example.com:a/b.git#v1",
    ],
)
def test_an_address_with_gits_schemes_is_a_repositorys(text: str) -> None:
    assert is_git(text)


@pytest.mark.parametrize(
    "text",
    [
        "../cozystack",
        "/src/cozystack.git",
        "github.com/cozystack/cozystack.git",
        "file:///src/a.git",
        "a:b",
        "ftp://a/b",
    ],
)
def test_any_other_address_is_a_folders(text: str) -> None:
    assert not is_git(text)


async def test_a_repository_on_the_machine_is_refused_with_the_way_out() -> None:
    with pytest.raises(EngineError, match=r"can't read the git repository file:///home/me/cozystack") as refused:
        await git(None, ENGINE, "file:///home/me/cozystack")
    assert "/path/to/checkout instead of file:///path/to/checkout" in str(refused.value)


async def test_a_machine_without_git_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineError, match="there is no git on this machine"):
        await ls_remote(ENGINE, GitRepository("https://example.com/cozystack"))


class Repository:
    """A repository's refs, and how often it was asked for them."""

    def __init__(self, *answers: dict[str, str] | EngineError) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, ...]] = []

    async def ls_remote(self, _engine: Any, _repository: GitRepository, *patterns: str) -> dict[str, str]:
        self.asked.append(patterns)
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, EngineError):
            raise answer
        return answer


@pytest.fixture
def session() -> Any:
    locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
    return SimpleNamespace(refs={}, lock=lambda name: locks[name])


async def test_a_tag_is_looked_up_once_a_session(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository({"refs/tags/v1.6.2": "1" * 40})
    monkeypatch.setattr("embedded.engine.api.git.ls_remote", repository.ls_remote)
    where = GitRepository("https://example.com/cozystack")
    found = await asyncio.gather(*(tag(where, session, "v1.6.2") for _ in range(18)))
    assert {one.commit for one in found} == {"1" * 40}
    assert repository.asked == [("refs/tags/v1.6.2", "refs/tags/v1.6.2^{}")]
    await tag(GitRepository("https://example.com/other"), session, "v1.6.2")
    assert len(repository.asked) == 2


async def test_a_look_up_that_failed_is_made_again(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository(EngineError("no route to host"), {"refs/tags/v1": "1" * 40})
    monkeypatch.setattr("embedded.engine.api.git.ls_remote", repository.ls_remote)
    where = GitRepository("https://example.com/cozystack")
    with pytest.raises(EngineError, match="no route to host"):
        await tag(where, session, "v1")
    assert (await tag(where, session, "v1")).commit == "1" * 40


async def test_the_tree_of_a_ref_is_fetched_by_the_commit_that_is_known() -> None:
    """Without that, BuildKit asks the repository for the ref in each session, even for a tree in its cache."""
    ref = GitRef(GitRepository("https://example.com/cozystack"), "refs/tags/v1", "a" * 40)
    vertex = (await tree(ref, ENGINE)).tree.vertex
    assert vertex is not None
    source = pb.Op.FromString(vertex.data).source
    assert source.identifier == f"git://example.com/cozystack#{'a' * 40}"
    attrs = dict(source.attrs)
    assert attrs["git.fetchbycommit"] == "true"
    assert attrs["git.checksum"] == "a" * 40
