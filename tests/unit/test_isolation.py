"""Unit tests stay off the network; the pure modules stay off the SDK."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]

PURE = (
    "ci.arch",
    "ci.catalog",
    "ci.errors",
    "ci.expectation",
    "ci.extensions",
    "ci.model",
    "ci.outputs",
    "ci.pins",
    "ci.plan",
    "ci.profile",
    "ci.references",
    "ci.resolve",
    "ci.tables",
    "ci.upstream",
    "ci.variant",
    "ci.yamltext",
)


def test_a_unit_test_that_opens_a_connection_fails() -> None:
    with pytest.raises(pytest.fail.Exception, match="tried to connect to"):
        socket.create_connection(("127.0.0.1", 9), timeout=1)


async def test_a_unit_test_that_opens_a_connection_asynchronously_fails() -> None:
    with pytest.raises(pytest.fail.Exception, match="tried to connect to"):
        await asyncio.open_connection("127.0.0.1", 9)


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_is_importable_where_dagger_is_not(module: str) -> None:
    script = f"""
import sys

class NoDagger:
    def find_spec(self, name, path=None, target=None):
        if name == "dagger" or name.startswith("dagger."):
            raise ImportError("dagger can't be imported here")
        return None

sys.meta_path.insert(0, NoDagger())
try:
    import dagger
except ImportError:
    pass
else:
    sys.exit("the test's own guard does not work")
import {module}
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_module_that_does_not_import_dagger_is_on_the_list() -> None:
    needing_dagger = {"ci.args", "ci.main", "ci.pipeline"}
    there = {f"ci.{path.stem}" for path in (TOP / "ci").glob("*.py") if path.stem != "__init__"}
    assert there - needing_dagger == set(PURE) | (there & {"ci.verify", "ci.machine_config"})
