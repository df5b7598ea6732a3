"""The requests of a session, as they are written down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from embedded.engine.requests import VARIABLE, noted


def test_each_request_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "requests"
    monkeypatch.setenv(VARIABLE, str(log))
    with noted("{ one }"):
        pass
    with pytest.raises(ValueError, match="refused"), noted("{\n two }"):
        raise ValueError("refused")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["query"] for line in lines] == ["{ one }", "{\n two }"]
    assert lines[0]["began"] <= lines[1]["began"]
    assert all(0 <= line["seconds"] < 1 for line in lines)


def test_nothing_is_written_unasked_nor_where_it_cant_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    with noted("{ one }"):
        pass
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere/requests"))
    with noted("{ two }"):
        pass
    assert list(tmp_path.iterdir()) == []
