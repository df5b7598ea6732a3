"""File names of the host that are not UTF-8, which BuildKit's messages can't carry."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from embedded.engine import llb
from embedded.engine.api.context import Engine, not_utf8
from embedded.engine.buildkit import SolveError
from embedded.tests.engine.calls import Calls

MARSHALLING = "rpc error: code = Internal desc = grpc: error while marshaling: string field contains invalid UTF-8"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/café.bin").write_text("x")
    Path(os.fsdecode(os.fsencode(tmp_path / "in/deep") + b"/caf\xe9\x1b.bin")).write_text("x")
    return tmp_path / "in"


async def test_the_name_is_in_the_error(folder: Path) -> None:
    tree = llb.source("local://x", {}, name=f"upload {folder}")
    engine = cast("Any", SimpleNamespace(attachables=SimpleNamespace(end="")))
    error = await Engine.reworded(engine, SolveError(MARSHALLING), tree)
    assert error.message == (
        f"the file name {folder}/deep/caf\\xe9\\x1b.bin is not UTF-8, and only such names can be uploaded"
    )
    assert error.hint == "Rename the file."


def test_other_names_are_none(folder: Path) -> None:
    assert not_utf8(llb.source("local://x", {}, name=f"upload {folder}/none")) == ""
    assert not_utf8(llb.source("local://x", {}, name="pull host/a:1 for linux/arm64")) == ""
    assert not_utf8(llb.SCRATCH) == ""


@pytest.mark.engine
def test_a_folder_with_such_a_name_is_refused_with_it(calls: Calls, folder: Path) -> None:
    said = calls.refused("-s", "core", "address", f"--value={folder}", "directory", "entries")
    assert f"the file name {folder}/deep/caf\\xe9\\x1b.bin is not UTF-8" in said
