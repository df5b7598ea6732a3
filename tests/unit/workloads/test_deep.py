"""What starts in an image: found through links and scripts, from the topmost layer down."""

from __future__ import annotations

import io
from typing import Any

import pytest

from ci.inspect.errors import InspectError
from ci.inspect.source import Source
from ci.workloads.answers import Entry
from ci.workloads.deep import Search
from tests.unit.workloads.images import elf, layer


class Bytes(Source):
    def __init__(self, content: bytes) -> None:
        super().__init__("layer", len(content))
        self._content = io.BytesIO(content).getvalue()

    def _pread(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]


def looked(settings: dict[str, Any], *layers: dict[str, bytes | str]) -> Entry:
    """What is found where the layers, topmost first, are read as far as is needed."""
    search = Search({"config": settings})
    found = search.result(last=False)
    for number, files in enumerate(layers):
        if found is None:
            search.add(Bytes(layer(files)))
            found = search.result(last=number + 1 == len(layers))
    assert found is not None
    return found


ENTRY = {"Entrypoint": ["/manager"]}


@pytest.mark.parametrize("arch", ["arm64", "amd64"])
def test_a_program_says_its_architecture(arch: str) -> None:
    assert looked(ENTRY, {"manager": elf(arch)}) == Entry(path="/manager", arch=arch)


def test_the_topmost_layer_counts_and_the_rest_is_not_read() -> None:
    search = Search({"config": ENTRY})
    search.add(Bytes(layer({"./manager": elf("amd64")})))
    assert search.result(last=False) == Entry(path="/manager", arch="amd64")
    search.add(Bytes(layer({"manager": elf("arm64")})))
    assert search.result(last=True) == Entry(path="/manager", arch="amd64")


def test_links_are_followed_across_layers() -> None:
    entry = looked(
        {"Entrypoint": ["sh"]},
        {"etc/x": b""},
        {"bin": "usr/bin", "usr/bin/sh": "busybox"},
        {"usr/bin/busybox": elf("arm64")},
    )
    assert entry.arch == "arm64"


def test_a_script_is_as_good_as_its_interpreter() -> None:
    files: dict[str, bytes | str] = {"run.sh": b"#!/usr/bin/env bash\nexec x\n", "usr/bin/bash": elf("amd64")}
    entry = looked({"Cmd": ["/run.sh"], "Env": ["PATH=/usr/bin"]}, files)
    assert entry == Entry(path="/run.sh (/usr/bin/bash)", arch="amd64")


def test_what_an_upper_layer_takes_away_is_not_there() -> None:
    entry = looked(ENTRY, {".wh.manager": b""}, {"manager": elf("arm64")})
    assert entry.problem == "/manager is not in the image's layers"
    opaque = looked({"Entrypoint": ["/app/x"]}, {"app/.wh..wh..opq": b""}, {"app/x": elf("arm64")})
    assert opaque.problem == "/app/x is not in the image's layers"


@pytest.mark.parametrize(
    ("settings", "files", "problem"),
    [
        ({}, {}, "the image names no program"),
        (ENTRY, {"manager": b"text"}, "/manager is neither an ELF program nor a script"),
        (ENTRY, {"manager": "manager"}, "/manager is not in the image's layers"),
        (ENTRY, {"manager": b"#!/bin/sh"}, "/manager is a script for /bin/sh, which is not in the image's layers"),
        ({"Entrypoint": ["x"], "WorkingDir": "/app"}, {"app/x": elf("arm64")}, "x is not in the image's layers"),
    ],
)
def test_what_is_not_found_says_why(settings: dict[str, Any], files: dict[str, bytes | str], problem: str) -> None:
    entry = looked(settings, files)
    assert (entry.arch, entry.problem) == (None, problem)


def test_a_broken_layer_is_an_error_of_the_readers() -> None:
    with pytest.raises(InspectError):
        Search({"config": ENTRY}).add(Bytes(layer({"manager": elf("arm64")})[:-20]))


def test_an_uncompressed_layer_is_read_too() -> None:
    search = Search({"config": {"Entrypoint": ["./x"], "WorkingDir": "/app"}})
    search.add(Bytes(layer({"app/x": elf("arm64")}, packed=False)))
    assert search.result(last=True) == Entry(path="/app/x", arch="arm64")
