"""Which Go is used, and with which variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedded.setup import golang, protos
from embedded.setup.paths import dev_marker, paths, step_folder


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("go1.26.7", "1.26.8"),
        ("go1.9.7", "go1.26"),
        ("go1.27rc1", "go1.27"),
        ("go1.27beta1", "go1.27.0"),
        ("go1.26.8", "go1.27rc1"),
        ("devel +abc", "go1.0"),
    ],
)
def test_versions_of_go_are_ordered(older: str, newer: str) -> None:
    assert golang.version(older) < golang.version(newer)


def test_a_vendors_suffix_does_not_make_a_go_older() -> None:
    assert golang.version("go1.26.8-fips") == golang.version("1.26.8") == (1, 26, 8)


def _machine_has(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> Path:
    go = folder / "root/bin/go"
    go.parent.mkdir(parents=True)
    go.write_text(f'#!/bin/sh\n[ "$*" = "env GOVERSION GOROOT" ] && printf "%s\\n" {version} {folder}/root\n')
    go.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda _: str(go))
    monkeypatch.setattr(golang, "USUAL_GO", "/nonexistent")
    return go


def test_the_machines_go_is_used_when_it_is_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = _machine_has(tmp_path, monkeypatch, "go1.99.0")
    assert golang.machine_go(tmp_path / "log") == go


def test_the_machines_go_is_not_used_when_it_is_older_than_go_mod_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _machine_has(tmp_path, monkeypatch, "go1.26.0")
    assert golang.machine_go(tmp_path / "log") is None


def test_go_works_below_the_cache_and_only_harmless_flags_of_the_user_count(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=vendor -p=3 -tags=evil -buildvcs=false")
    monkeypatch.setenv("GOOS", "plan9")
    monkeypatch.setenv("GOPROXY", "https://mirror.example")
    monkeypatch.setenv("CGO_CFLAGS", "-O9")
    env = golang.go_environment(Path("/go/bin/go"))
    assert env["GOFLAGS"] == "-p=3 -buildvcs=false -modcacherw"
    assert env["GOPROXY"] == "https://mirror.example"
    assert env["GOTOOLCHAIN"] == "local"
    assert {env[name] for name in ("GOPATH", "GOMODCACHE", "GOCACHE", "GOTMPDIR")} == {
        f"{cache}/go{below}" for below in ("", "/mod", "/build", "/tmp")
    }
    assert not {"GOOS", "CGO_CFLAGS"} & env.keys()


def _caches() -> list[Path]:
    folders = [paths().go / "mod", step_folder("go")]
    for folder in folders:
        folder.mkdir(parents=True)
    return folders


def test_caches_go_when_all_is_built() -> None:
    folders = _caches()
    golang.clear_caches()
    assert not any(folder.exists() for folder in folders)


def test_caches_stay_where_the_helpers_are_developed() -> None:
    folders = _caches()
    dev_marker().parent.mkdir(parents=True)
    dev_marker().touch()
    golang.clear_caches()
    assert all(folder.exists() for folder in folders)


def test_caches_stay_while_somebody_builds(notes: object) -> None:
    folders = _caches()
    with golang.building(notes):  # type: ignore[arg-type]
        golang.clear_caches()
        assert all(folder.exists() for folder in folders)


def test_what_go_downloaded_is_read_from_its_report() -> None:
    said = 'go: downloading a v1\n{\n\t"Path": "a",\n\t"Dir": "/m/a@v1"\n}\n{\n\t"Path": "b",\n\t"Dir": "/m/b@v2"\n}\n'
    assert protos.downloaded(said) == {"a": "/m/a@v1", "b": "/m/b@v2"}
