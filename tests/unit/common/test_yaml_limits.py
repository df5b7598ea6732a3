"""YAML from outside: any tag, any nesting, any size ends in an error that names the file."""

from __future__ import annotations

import contextlib
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci.boot.configuration import parse_machine_config
from ci.common.errors import BootError, CozystackTalosError, FileError, PlanError, UpstreamError, VariantError
from ci.common.yamltext import LONGEST, parse_yaml
from ci.inspect.manifest import parse_layers, parse_manifest
from ci.load.catalog import parse_catalog
from ci.load.upstream import load_upstream
from ci.load.variant import parse_variant
from ci.node.configuration_file import ConfigurationFileError, read_configuration
from ci.node.services import parse_service
from ci.plan.model import Plan
from tests.unit.cozystack import checkout

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE = {
    "python object": "a: !!python/object/apply:os.system [id]",
    "unknown tag": "a: !mine x",
    "binary": "a: !!binary aGk=",
    "bad binary": "a: !!binary '*'",
    "set": "a: !!set {x, y}",
    "pairs": "a: !!pairs [x: 1]",
    "bad pairs": "a: !!pairs 1",
    "omap": "a: !!omap [x: 1]",
    "date": "a: 2020-01-01",
    "bad date": "a: 2020-13-45",
    "time": "a: 2020-01-01T00:00:00Z",
    "int of a word": "a: !!int x",
    "int of nothing": "a: !!int",
    "float of a word": "a: !!float x",
    "bool of a word": "a: !!bool x",
    "infinite": "a: .inf",
    "no number": "a: .nan",
    "sexagesimal with a bad part": "a: !!int 1:x",
    "huge number": "a: " + "9" * 5000,
    "huge hexadecimal number": "a: 0x" + "f" * 10_000,
    "huge number for a text": "name: !!int 0x" + "f" * 10_000,
    "huge number of base 60": "a: 1" + ":59" * 3000,
    "huge number of base 60 in quotes": "a: !!int '1" + ":59" * 3000 + "'",
    "huge fraction of base 60": "a: 1" + ":59" * 3000 + ".0",
    "nested lists": "[" * 10_000,
    "nested mappings": "{a: " * 5_000,
    "nested by indentation": "\n".join(" " * depth + "a:" for depth in range(400)),
    "alias to itself": "a: &x [*x]",
    "billion laughs": "a: &a [x,x]\nb: &b [*a,*a]\n" + "\n".join(
        f"{chr(99 + n)}: &{chr(99 + n)} [*{chr(98 + n)},*{chr(98 + n)}]" for n in range(20)),
    "merge key": "a: &a {x: 1}\nb: {<<: *a}",
    "key that is a list": "? [a]\n: 1",
    "two documents": "a: 1\n---\nb: 2",
    "directive": "%YAML 3.0\n---\na: 1",
    "control character": "a: \x07",
    "only a byte order mark": "\ufeff",
    "undefined alias": "a: *x",
    "duplicate anchors": "a: &x 1\nb: &x 2\nc: *x\na: 3",
    "a tag without end": "!<",
    "too large": "a: " + "x" * LONGEST,
}  # fmt: skip


def _profile(text: str) -> object:
    files = checkout("v1.6.2")
    path = next(path for path in files if path.endswith("profiles/iso.yaml"))
    return load_upstream({**files, path: text})


#: Everything that reads YAML which somebody else wrote, with the errors that it may raise.
READERS: dict[str, tuple[Callable[[str], object], type[Exception]]] = {
    "plain": (lambda text: parse_yaml(text, "a.yaml", FileError), FileError),
    "variant": (lambda text: parse_variant("a.yaml", text), VariantError),
    "profile": (_profile, UpstreamError),
    "catalog": (lambda text: parse_catalog("ghcr.io/a/b:c@sha256:" + "0" * 64, text), FileError),
    "manifest": (lambda text: parse_manifest("a:/manifest.yaml", text.encode(errors="replace")), CozystackTalosError),
    "layers": (lambda text: parse_layers("extensions.yaml", text.encode(errors="replace")), CozystackTalosError),
    "service": (lambda text: parse_service("a", text), CozystackTalosError),
    "machine configuration": (lambda text: read_configuration("a.yaml", text), ConfigurationFileError),
    "machine configuration of a boot": (parse_machine_config, BootError),
    "plan": (Plan.parse, PlanError),
}


@pytest.mark.parametrize("name", [name for name in HOSTILE if "base 60" in name])
def test_a_number_as_long_as_the_file_may_be_takes_no_minute(name: str) -> None:
    long = HOSTILE[name].replace(":59", ":59" * (300_000 // 3000))
    began = time.monotonic()
    with pytest.raises(FileError, match="digits: put it in quotes"):
        parse_yaml(long, "a.yaml", FileError)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("reader", READERS)
def test_hostile_yaml_ends_in_the_readers_own_error(reader: str, name: str) -> None:
    read, error = READERS[reader]
    began = time.monotonic()
    # What is harmless for a reader may be read; nothing else may come out of it than its own error.
    with contextlib.suppress(error):
        read(HOSTILE[name])
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: " + "x" * LONGEST, "a.yaml: 1048579 characters are too many for this file (limit 1048576)"),
        ("[" * 100, "a.yaml:1: nested deeper than 30 (an alias that contains itself?)"),
        ("\na: 2020-01-01", "a.yaml:2: '2020-01-01' is read as a date: put it in quotes"),
        ("a: !!binary aGk=", "a.yaml:1: 'aGk=' is read as a bytes: put it in quotes"),
        ("b: 1\na: 0x" + "f" * 50, f"a.yaml:2: '0x{'f' * 50}' is too large a number: put it in quotes"),
        ("\na: 1" + ":59" * 3000, "a.yaml:2: a number of 9001 digits: put it in quotes"),
        ("a: .nan", "a.yaml:1: '.nan' is not a number that can be written: put it in quotes"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, reason: str) -> None:
    with pytest.raises(FileError) as raised:
        parse_yaml(text, "a.yaml", FileError)
    assert str(raised.value) == reason


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from("[]{}:,&*!|>-?%@`'\" \n\tab019.#~<=\x00\ufeff\u2028"), max_size=60))
def test_any_text_is_read_or_refused(reader: str, text: str) -> None:
    read, error = READERS[reader]
    with contextlib.suppress(error):
        read(text)


def test_a_text_is_gone_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding words in a text takes nine tenths of the time of reading it."""
    texts: list[object] = []
    scanners: Any = import_module("yaml.scanner").Scanner
    begin = scanners.__init__

    def count(scanner: Any) -> None:
        texts.append(scanner)
        begin(scanner)

    monkeypatch.setattr(scanners, "__init__", count)
    assert parse_yaml("a: [1, 2]\nb: {c: 2}\n", "a.yaml", FileError).data == {"a": [1, 2], "b": {"c": 2}}
    assert len(texts) == 1
