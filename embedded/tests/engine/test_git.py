"""What can't be read as a git repository is told in words, before anything is fetched."""

from __future__ import annotations

from typing import Any, cast

import pytest

from embedded.engine.api.git import GitRepository, git, ls_remote
from embedded.engine.errors import EngineError

ENGINE = cast("Any", None)


async def test_a_repository_on_the_machine_is_refused_with_the_way_out() -> None:
    with pytest.raises(EngineError, match=r"can't read the git repository file:///home/me/cozystack") as refused:
        await git(None, ENGINE, "file:///home/me/cozystack")
    assert "/path/to/checkout instead of file:///path/to/checkout" in str(refused.value)


async def test_a_machine_without_git_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineError, match="there is no git on this machine"):
        await ls_remote(ENGINE, GitRepository("https://example.com/cozystack"))
