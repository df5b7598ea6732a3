"""ghcr.io, Docker Hub, quay.io and GitHub on this machine: their own names, TLS and tokens, and the lab's content.

Their names lead here in a mount namespace only, where a hosts file and a CA bundle are bound over the machine's.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from embedded import lab
from embedded.lab.builder import Builder

ADDRESS = "127.0.0.94"
REGISTRIES = {"ghcr.io": "ghcr.io", "registry-1.docker.io": "docker.io", "quay.io": "quay.io"}
"""Host → registry, as the lab's references begin."""
TOKENS = {"registry-1.docker.io": "auth.docker.io"}
"""Host of a registry → host that gives tokens for it, where that is another one."""
NAMES = (*REGISTRIES, *TOKENS.values(), "github.com")
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
ENTER = 'mount --bind "$1" /etc/hosts && mount --bind "$2" "$3" && shift 3 && exec "$@"'


@dataclass
class Upstreams:
    """The servers, and what a process needs to find them."""

    folder: Path
    builder: Builder
    repositories: Path
    """Bare git repositories below `cozystack/`."""
    asked: list[str] = field(default_factory=list[str])
    """`METHOD host/path` of each answered request."""
    refused: list[str] = field(default_factory=list[str])
    """The same of those that came without a token."""

    def asked_of(self, host: str) -> list[str]:
        return [line for line in self.asked if line.split()[1].partition("/")[0] == host]

    def command(self, *words: str | Path) -> list[str]:
        """Return a command that runs another one where the names lead to these servers."""
        bound = [str(self.folder / "hosts"), str(self.folder / "bundle.crt"), str(BUNDLE)]
        return ["unshare", "--mount", "sh", "-c", ENTER, "sh", *bound, *map(str, words)]


@contextmanager
def serving(folder: Path, repositories: Path) -> Generator[Upstreams]:
    """Serve while the block runs."""
    _certificates(folder)
    machine = Path("/etc/hosts").read_text()
    (folder / "hosts").write_text(machine + "".join(f"{ADDRESS} {name}\n" for name in NAMES))
    (folder / "bundle.crt").write_bytes(BUNDLE.read_bytes() + (folder / "ca.crt").read_bytes())
    upstreams = Upstreams(folder, lab.builder(), repositories)
    handler = type("Handler", (_Handler,), {"upstreams": upstreams})
    with ThreadingHTTPServer((ADDRESS, 443), handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.crt", folder / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield upstreams
        finally:
            server.shutdown()


def _certificates(folder: Path) -> None:
    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=60)

    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj")
    openssl(*new, "/CN=tests of cozystack-talos", "-x509", "-days", "2", "-keyout", "ca.key", "-out", "ca.crt")
    openssl(*new, "/CN=tests", "-keyout", "server.key", "-out", "server.csr")
    (folder / "names").write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in NAMES))
    signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl("x509", "-req", "-in", "server.csr", *signing, "-out", "server.crt")


class _Handler(BaseHTTPRequestHandler):
    upstreams: ClassVar[Upstreams]
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it has
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        host, parts = self.headers.get("Host", "").partition(":")[0], urlsplit(self.path)
        said = f"{self.command} {host}{parts.path}"
        if host == "github.com":
            self.upstreams.asked.append(said)
            self._git(parts.path, parts.query)
        elif parts.path == "/token":
            self.upstreams.asked.append(said)
            scope = parse_qs(parts.query).get("scope", [""])[0]
            self._send(200, json.dumps({"token": f"for {scope}"}).encode(), "application/json")
        elif host not in REGISTRIES:
            self._send(404)
        elif not self.headers.get("Authorization", "").startswith("Bearer for repository:"):
            self.upstreams.refused.append(said)
            self._challenge(host, parts.path)
        else:
            self.upstreams.asked.append(said)
            self._registry(host, parts.path)

    def _challenge(self, host: str, path: str) -> None:
        repository = re.split("/(?:manifests|blobs)/", path.removeprefix("/v2/"))[0]
        realm = f"https://{TOKENS.get(host, host)}/token"
        scope = f'realm="{realm}",service="{host}",scope="repository:{repository}:pull"'
        self._send(401, b"{}", "application/json", {"WWW-Authenticate": f"Bearer {scope}"})

    def _registry(self, host: str, path: str) -> None:
        name, kind, last = path.removeprefix("/v2/").rpartition("/manifests/")
        builder = self.upstreams.builder
        if kind and not last.startswith("sha256:"):
            made = builder.results([f"{REGISTRIES[host]}/{name}:{last}"]) or {}
            result = made.get(f"{REGISTRIES[host]}/{name}:{last}")
            if result is None:
                return self._send(404)
            last = str(result.value["image"]["digest"])
        digest = last if kind else path.rpartition("/")[2]
        blob = builder.blobs.path(digest)
        if not blob.exists():
            return self._send(404)
        content = blob.read_bytes()
        media = json.loads(content).get("mediaType", "") if kind else "application/octet-stream"
        return self._send(200, content, media, {"Docker-Content-Digest": digest})

    def _git(self, path: str, query: str) -> None:
        """Let git answer, which has a program for web servers."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self._chunks() if "chunked" in self.headers.get("Transfer-Encoding", "") else self.rfile.read(length)
        path = path if ".git/" in path else path.replace("/cozystack/cozystack/", "/cozystack/cozystack.git/")
        environment = {
            "GIT_PROJECT_ROOT": str(self.upstreams.repositories),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            env=os.environ | environment,
            capture_output=True,
            timeout=60,
            check=False,
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        status = int(headers.pop("Status", "200").split()[0])
        self._send(status, content, headers.pop("Content-Type", "text/plain"))

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, content: bytes = b"", media: str = "", more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": media or "text/plain", **(more or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
