"""Images of every kind that registries have, as manifests, configurations and layers."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import Any

from ci.workloads.lookup import Fetched

MACHINES = {"arm64": 183, "amd64": 62}
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"


def elf(arch: str) -> bytes:
    """Return the head of a program, as far as its architecture is told by it."""
    return (
        b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + MACHINES[arch].to_bytes(2, "little") + bytes(44)
    )


def layer(files: dict[str, bytes | str], *, packed: bool = True) -> bytes:
    """Return a layer of files; a text is where a link points to."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size, info.mode = len(content), 0o755
                tar.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0) if packed else out.getvalue()


@dataclass
class Images:
    """What registries hold: manifests by repository and tag or digest, blobs by digest."""

    manifests: dict[tuple[str, str], bytes] = field(default_factory=dict[tuple[str, str], bytes])
    blobs: dict[str, bytes] = field(default_factory=dict[str, bytes])
    asked: list[str] = field(default_factory=list[str])
    #: Repository → the error that its registry answers with.
    broken: dict[str, Exception] = field(default_factory=dict[str, Exception])

    def blob_of(self, content: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blobs[digest] = content
        return {"digest": digest, "size": len(content)}

    def put(self, repository: str, tag: str | None, document: dict[str, Any]) -> str:
        content = json.dumps(document).encode()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.manifests[repository, digest] = content
        if tag:
            self.manifests[repository, tag] = content
        return digest

    def single(
        self,
        repository: str,
        tag: str | None,
        arch: str,
        *,
        program: str | None = None,
        layers: list[bytes] | None = None,
        config: dict[str, Any] | None = None,
    ) -> str:
        """Add an image of one platform, and return its digest; `program` is the architecture of what starts in it."""
        about = {"os": "linux", "architecture": arch, "config": config or {"Entrypoint": ["/manager"]}}
        contents = layers or [
            layer({"etc/x": b"x"}),
            layer({"manager": elf(program or arch), "of": repository.encode()}),
        ]
        return self.put(
            repository,
            tag,
            {
                "schemaVersion": 2,
                "mediaType": DOCKER_IMAGE,
                "config": self.blob_of(json.dumps(about).encode()),
                "layers": [self.blob_of(content) for content in contents],
            },
        )

    def index(self, repository: str, tag: str | None, platforms: dict[str, str], *, attested: bool = False) -> str:
        """Add an index of platforms (name → the architecture of what starts), and return its digest."""
        entries: list[dict[str, Any]] = []
        for name, program in platforms.items():
            system, arch, *variant = name.split("/")
            digest = self.single(repository, None, arch, program=program)
            platform = {"os": system, "architecture": arch, **({"variant": variant[0]} if variant else {})}
            entries.append({"digest": digest, "platform": platform})
        if attested:
            about = {"vnd.docker.reference.type": "attestation-manifest"}
            unknown = {"os": "unknown", "architecture": "unknown"}
            entries.append({"digest": "sha256:" + "e" * 64, "platform": unknown, "annotations": about})
        return self.put(repository, tag, {"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": entries})

    # --- as registries are asked ------------------------------------------------------------------------------

    async def manifest(self, repository: str, reference: str) -> Fetched | None:
        self.asked.append(f"{repository} {reference}")
        if repository in self.broken:
            raise self.broken[repository]
        content = self.manifests.get((repository, reference))
        return Fetched(content, f"sha256:{hashlib.sha256(content).hexdigest()}") if content else None

    async def blob(self, repository: str, digest: str) -> bytes | None:
        self.asked.append(f"{repository} blob")
        return self.blobs.get(digest)

    async def tags(self, repository: str) -> list[str]:
        self.asked.append(f"{repository} tags")
        return [tag for name, tag in self.manifests if name == repository and not tag.startswith("sha256")]
