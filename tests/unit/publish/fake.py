"""A registry in memory, as far as the distribution specification asks, with the faults that registries have."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field

import httpx

from ci.common.oci import INDEX

PATH = re.compile(r"/v2/(?P<name>.+)/(?P<what>blobs|manifests|referrers)/(?P<rest>.+|uploads/)$")


@dataclass
class FakeRegistry:
    """Answers requests; `asked` are those that came through."""

    password: str | None = None
    #: Whether passwords are exchanged for tokens.
    token_server: bool = False
    #: Whether a DELETE needs a token for it, which nobody is given: what `distribution` does.
    delete_needs_more: bool = False
    read_only: bool = False
    referrers: bool = False
    #: What it answers where it has no such API; a redirect is to a page.
    no_referrers: int = 404
    #: Whether it says of a manifest with a subject that it lists it.
    tells_subject: bool = True
    #: How many descriptors a page of referrers has.
    page: int = 1000
    #: Whether blobs and manifests that are there are on another server, which knows nobody.
    storage: bool = False
    #: How many uploads break off in the middle, from the first on.
    dies: int = 0
    #: How many answers are 503, from the first on.
    busy: int = 0
    blobs: dict[str, bytes] = field(default_factory=dict[str, bytes])
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict[str, "tuple[str, bytes]"])
    asked: list[str] = field(default_factory=list[str])
    #: What `Authorization` was sent with requests to somewhere else.
    leaked: list[str] = field(default_factory=list[str])

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    @property
    def tags(self) -> set[str]:
        return {name for name in self.manifests if not name.startswith("sha256")}

    @property
    def sent(self) -> list[str]:
        return [line for line in self.asked if line.startswith("PUT")]

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "elsewhere.example":
            self.leaked += request.headers.get_list("Authorization")
        if request.url.path == "/token":
            return self._token(request)
        if request.url.path == "/":
            return httpx.Response(200, html="<html>")
        stored = request.url.host == "elsewhere.example"
        if self.password and not stored and not self._known(request):
            challenge = (
                'Bearer realm="https://registry.example/token",service="x"' if self.token_server else 'Basic realm="x"'
            )
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        if self.busy:
            self.busy -= 1
            return httpx.Response(503)
        match = PATH.fullmatch(request.url.path)
        assert match, request.url
        if request.method in ("POST", "PUT") and self.read_only:
            return httpx.Response(405, json={"errors": [{"code": "UNSUPPORTED", "message": "read-only"}]})
        answer = await {"blobs": self._blob, "manifests": self._manifest, "referrers": self._referrers}[match["what"]](
            request, match["rest"]
        )
        self.asked.append(f"{request.method} {match['what']}/{match['rest']}")
        if self.storage and not stored and request.method in ("GET", "HEAD") and answer.status_code == 200:
            return httpx.Response(307, headers={"Location": str(request.url.copy_with(host="elsewhere.example"))})
        return answer

    def _token(self, request: httpx.Request) -> httpx.Response:
        wanted = "Basic " + base64.b64encode(f"me:{self.password}".encode()).decode()
        if request.headers.get("Authorization") != wanted:
            return httpx.Response(401)
        return httpx.Response(200, json={"token": request.url.params["scope"]})

    def _known(self, request: httpx.Request) -> bool:
        given = request.headers.get("Authorization", "")
        if self.token_server:
            if self.delete_needs_more and request.method == "DELETE":
                return False
            return given == "Bearer repository:lab/talos:pull,push"
        return given == "Basic " + base64.b64encode(f"me:{self.password}".encode()).decode()

    async def _blob(self, request: httpx.Request, rest: str) -> httpx.Response:
        if request.method == "HEAD":
            return httpx.Response(200 if rest in self.blobs else 404)
        if request.method == "GET":
            return httpx.Response(200, content=self.blobs[rest]) if rest in self.blobs else httpx.Response(404)
        if request.method == "POST":
            return httpx.Response(202, headers={"Location": "/v2/lab/talos/blobs/uploads/1?state=x"})
        if request.method == "DELETE":
            return httpx.Response(204)
        assert request.url.params["state"] == "x"
        content = await request.aread()
        if self.dies:
            self.dies -= 1
            raise httpx.WriteError("Connection reset by peer", request=request)
        digest = request.url.params["digest"]
        if digest != f"sha256:{hashlib.sha256(content).hexdigest()}" or len(content) != int(
            request.headers["Content-Length"]
        ):
            return httpx.Response(400, json={"errors": [{"code": "DIGEST_INVALID", "message": "no"}]})
        self.blobs[digest] = content
        return httpx.Response(201)

    async def _manifest(self, request: httpx.Request, rest: str) -> httpx.Response:
        if request.method == "PUT":
            content = await request.aread()
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            self.manifests[digest] = self.manifests[rest] = (request.headers["Content-Type"], content)
            told = self.referrers and self.tells_subject and b'"subject"' in content
            headers = {"OCI-Subject": "x"} if told else {}
            return httpx.Response(201, headers=headers)
        if rest not in self.manifests:
            return httpx.Response(404)
        kind, content = self.manifests[rest]
        headers = {"Content-Type": kind, "Docker-Content-Digest": f"sha256:{hashlib.sha256(content).hexdigest()}"}
        return httpx.Response(200, headers=headers, content=content if request.method == "GET" else b"")

    async def _referrers(self, request: httpx.Request, rest: str) -> httpx.Response:
        if not self.referrers:
            return httpx.Response(self.no_referrers, headers={"Location": "/"})
        found: list[dict[str, object]] = []
        for name, (kind, content) in self.manifests.items():
            document = json.loads(content)
            if name.startswith("sha256:") and document.get("subject", {}).get("digest") == rest:
                listed = {key: document[key] for key in ("artifactType", "annotations") if key in document}
                found.append({"mediaType": kind, "digest": name, "size": len(content), **listed})
        first = int(request.url.params.get("from", "0"))
        headers = {"Content-Type": INDEX}
        if len(found) > first + self.page:
            headers["Link"] = f'<{request.url.path}?from={first + self.page}>; rel="next"'
        return httpx.Response(200, json={"manifests": found[first : first + self.page]}, headers=headers)
