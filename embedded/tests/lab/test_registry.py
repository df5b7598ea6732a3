"""What the lab's registry is told of images: once, and again where it has something else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from embedded.lab.oci import Blobs
from embedded.lab.recipe import Result
from embedded.lab.registry import publish

NAME = "ghcr.io/siderolabs/spin"


class Registry:
    """Keeps manifests in memory, as the lab's does."""

    def __init__(self) -> None:
        self.put: list[str] = []
        self.tags: dict[str, str] = {}
        self.address = ""


class Kept:
    """Blobs in a folder, by digest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, digest: str) -> Path:
        return self._folder / digest


@pytest.fixture
def registry() -> Iterator[Registry]:
    known = Registry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it has
            pass

        def _end(self, status: int, digest: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            if digest:
                self.send_header("Docker-Content-Digest", digest)
            self.end_headers()

        def do_HEAD(self) -> None:
            digest = known.tags.get(self.path)
            self._end(200 if digest else 404, digest or "")

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"])).decode()
            known.put.append(self.path.rpartition("/")[2])
            known.tags[self.path] = content
            self._end(201)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        known.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield known
        server.shutdown()


def images(tmp_path: Path, index: str, *manifests: str) -> tuple[Blobs, dict[str, Result]]:
    """An image whose blobs hold their own digests, which the registry above then answers with."""
    for digest in (index, *manifests):
        (tmp_path / digest).write_text(digest)

    def described(digest: str) -> dict[str, Any]:
        return {"mediaType": "a/b", "digest": digest, "size": 1}

    value = {"image": described(index), "manifests": [described(one) for one in manifests]}
    result = cast("Result", SimpleNamespace(value=value))
    return cast("Blobs", Kept(tmp_path)), {f"{NAME}:v1": result}


def test_what_the_registry_has_is_not_sent_again(registry: Registry, tmp_path: Path) -> None:
    for _ in range(2):
        publish(registry.address, *images(tmp_path, "sha256:index", "sha256:a", "sha256:b"))
    # The tag comes last: where it is, all that it names is there.
    assert registry.put == ["sha256:a", "sha256:b", "v1"]


def test_a_tag_that_names_something_else_is_moved(registry: Registry, tmp_path: Path) -> None:
    publish(registry.address, *images(tmp_path, "sha256:old", "sha256:a"))
    publish(registry.address, *images(tmp_path, "sha256:new", "sha256:b"))
    assert registry.put == ["sha256:a", "v1", "sha256:b", "v1"]
    assert registry.tags[f"/v2/{NAME}/manifests/v1"] == "sha256:new"
