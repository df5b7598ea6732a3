"""Unit tests stay off the network; the pure modules stay off the SDK."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.test_rooms import MODULES, WITH_ENGINE, room

TOP = Path(__file__).parents[2]

PURE = sorted(name for name, path in MODULES.items() if room(name) not in WITH_ENGINE and path.stem != "__main__")


def test_a_unit_test_that_opens_a_connection_fails() -> None:
    with pytest.raises(pytest.fail.Exception, match="tried to connect to"):
        socket.create_connection(("127.0.0.1", 9), timeout=1)


async def test_a_unit_test_that_opens_a_connection_asynchronously_fails() -> None:
    with pytest.raises(pytest.fail.Exception, match="tried to connect to"):
        await asyncio.open_connection("127.0.0.1", 9)


def test_the_pure_modules_are_importable_where_dagger_is_not() -> None:
    script = """
import importlib
import sys

class NoDagger:
    def find_spec(self, name, path=None, target=None):
        if name == "dagger" or name.startswith("dagger."):
            raise ImportError("dagger can't be imported here")
        return None

sys.meta_path.insert(0, NoDagger())
for module in ["dagger", *sys.argv[1:]]:
    try:
        importlib.import_module(module)
    except ImportError as error:
        print(module, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, *PURE],
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        check=True,
    )
    # The first line shows that the guard works.
    assert done.stdout.splitlines() == ["dagger dagger can't be imported here"]


def test_the_face_starts_without_the_libraries_that_only_containers_need() -> None:
    """The module is imported anew for every call: what reads ISOs, programs and packed files is loaded when used."""
    heavy = "{'pycdlib', 'pefile', 'dulwich', 'jinja2', 'hypothesis'}"
    script = f"import sys, ci.main; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
