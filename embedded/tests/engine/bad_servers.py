"""Registries that answer badly, each in its own way, on a port of this machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ROOTFS = {"type": "layers", "diff_ids": ["sha256:" + "1" * 64]}
CONFIG = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": ROOTFS}).encode()


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def manifest_of(layer: bytes) -> bytes:
    def part(kind: str, data: bytes) -> dict[str, object]:
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(data), "size": len(data)}

    layers = [part("layer.v1.tar+gzip", layer)]
    return json.dumps(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": part("config.v1+json", CONFIG), "layers": layers}
    ).encode()


class Registry(BaseHTTPRequestHandler):
    """A registry of one image whose answers a subclass spoils."""

    protocol_version = "HTTP/1.1"

    @property
    def bytes_of_the_layer(self) -> bytes:
        """Not a layer at all; another one for each kind of server, for BuildKit keeps what it got of one."""
        return f"{type(self).__name__} {self.server.server_address}".encode() * 40

    @property
    def bytes_of_the_manifest(self) -> bytes:
        return manifest_of(self.bytes_of_the_layer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def answer(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        if "/manifests/" in self.path:
            self.manifest()
        elif self.path.endswith(digest(CONFIG)):
            self.answer(200, CONFIG, "application/octet-stream")
        elif "/blobs/" in self.path:
            self.layer()
        else:
            self.answer(200, b"{}")

    do_HEAD = do_GET  # noqa: N815

    def manifest(self) -> None:
        self.answer(200, self.bytes_of_the_manifest, MANIFEST, Docker_Content_Digest=digest(self.bytes_of_the_manifest))

    def layer(self) -> None:
        self.answer(200, self.bytes_of_the_layer, "application/octet-stream")


def refusing(status: int, text: str) -> type[Registry]:
    class Refusing(Registry):
        def manifest(self) -> None:
            code = {401: "UNAUTHORIZED", 403: "DENIED", 429: "TOOMANYREQUESTS"}.get(status, "UNKNOWN")
            self.answer(status, json.dumps({"errors": [{"code": code, "message": text}]}).encode())

    return Refusing


class SignInPage(Registry):
    def manifest(self) -> None:
        self.answer(200, b"<!DOCTYPE html><html><body>Please sign in</body></html>", "text/html")


class CutOff(Registry):
    def manifest(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", MANIFEST)
        self.send_header("Content-Length", "100000")
        self.send_header("Docker-Content-Digest", digest(self.bytes_of_the_manifest))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.bytes_of_the_manifest[:100])
        self.close_connection = True


class HangUp(Registry):
    def manifest(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True


class OtherBlob(Registry):
    def layer(self) -> None:
        self.answer(200, self.bytes_of_the_layer[::-1], "application/octet-stream")


class ShortBlob(Registry):
    def layer(self) -> None:
        self.answer(200, self.bytes_of_the_layer[:-10], "application/octet-stream")


class RefusedBlob(Registry):
    def layer(self) -> None:
        self.answer(403, b"no")


class OtherManifest(Registry):
    def manifest(self) -> None:
        if self.command == "HEAD":
            return super().manifest()
        return self.answer(200, self.bytes_of_the_manifest + b" ", MANIFEST)


HOSTILE = "no\x1b[2J\r\n#9 all good\u202e https://me:s3cret@host/ " + "x" * 3000


@contextlib.contextmanager
def serving(handler: type[Registry], certificate: Path | None = None, host: str = "127.0.0.1") -> Generator[str]:
    """Serve; gives `host:port`. With a certificate it speaks TLS."""
    server = ThreadingHTTPServer((host, 0), handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def silent(host: str = "127.0.0.1") -> Generator[str]:
    """Take every connection and never answer."""
    with socket.create_server((host, 0)) as listening:
        kept: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    kept.append(listening.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"{host}:{listening.getsockname()[1]}"
        finally:
            for connection in kept:
                connection.close()


def own_address() -> str:
    """Return an address of this machine that is not loopback's: BuildKit speaks TLS with it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("10.255.255.255", 1))
        return str(probe.getsockname()[0])


def self_signed(folder: Path, address: str, days: int = 1) -> Path:
    """Make a certificate that nobody has signed, with its key in the same file."""
    path = folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", path, "-out", folder / "cert"),
            *("-days", str(days), "-subj", "/CN=registry", "-addext", f"subjectAltName=IP:{address}"),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + (folder / "cert").read_text())
    return path
