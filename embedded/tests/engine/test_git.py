"""What can't be read as a git repository is told in words, before anything is fetched."""

from __future__ import annotations

from typing import Any, cast

import pytest

from embedded.engine.api.git import GitRepository, git, ls_remote
from embedded.engine.api.host import is_git
from embedded.engine.errors import EngineError

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
