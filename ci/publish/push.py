"""Pushing images: blobs, manifests by digest, what refers to them, and tags last.

Whatever breaks off in between leaves no tag behind, and what has arrived is found and not sent again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import anyio

from ci.common.canonical import json_bytes
from ci.common.errors import RegistryError
from ci.common.oci import INDEX, MANIFEST
from ci.common.progress import say
from ci.common.references import is_digest
from ci.publish.client import Manifest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from ci.publish.client import Registry

Descriptor = dict[str, Any]

_EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
_EMPTY: Final = b"{}"
_CHUNK: Final = 1 << 20
#: Of a document that is read: the signature of an SBOM holds it, in base64.
_LARGEST: Final = 64 << 20


def digest_of(content: bytes) -> str:
    """Return a digest as registries write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Image:
    """An image of one platform."""

    #: With `platform`.
    descriptor: Descriptor
    manifest: bytes
    #: Gives the folder of the blobs, by their digests in hexadecimal; called only where something is to be sent.
    fetch: Callable[[], Awaitable[Path]]

    @property
    def digest(self) -> str:
        """The manifest's digest."""
        return str(self.descriptor["digest"])

    @property
    def blobs(self) -> list[Descriptor]:
        """Configuration and layers."""
        document = json.loads(self.manifest)
        return [document["config"], *document["layers"]]


@dataclass(frozen=True)
class Artifact:
    """A document that refers to an image: its SBOM, its provenance, its signature."""

    artifact_type: str
    content: bytes
    annotations: Mapping[str, str]

    @property
    def descriptor(self) -> Descriptor:
        """The document as a blob."""
        return {"mediaType": self.artifact_type, "digest": digest_of(self.content), "size": len(self.content)}

    def manifest(self, subject: Descriptor) -> bytes:
        """Return the manifest that ties the document to an image."""
        return json_bytes(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "artifactType": self.artifact_type,
                "config": {"mediaType": _EMPTY_TYPE, "digest": digest_of(_EMPTY), "size": len(_EMPTY)},
                "layers": [self.descriptor],
                "subject": {key: subject[key] for key in ("mediaType", "digest", "size")},
                "annotations": dict(sorted(self.annotations.items())),
            }
        )


def make_index(images: Sequence[Image], annotations: Mapping[str, str]) -> bytes:
    """Return the index of several platforms' images."""
    return json_bytes(
        {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [image.descriptor for image in images],
            "annotations": dict(sorted(annotations.items())),
        }
    )


@dataclass
class Pusher:
    """Pushes into one repository, and counts what was sent."""

    registry: Registry
    repository: str
    blobs: int = 0
    size: int = 0
    manifests: int = 0

    async def image(self, image: Image) -> None:
        """Send an image's blobs and its manifest, as far as the registry does not have them."""
        missing = [blob for blob in image.blobs if not await self.registry.has_blob(self.repository, blob["digest"])]
        missing = list({blob["digest"]: blob for blob in missing}.values())
        if missing:
            size = sum(blob["size"] for blob in missing)
            say(f"{self.repository}: sending {len(missing)} of {len(image.blobs)} blobs, {size / 1e6:.1f} MB")
            folder = await image.fetch()
            for blob in missing:
                path = folder / str(blob["digest"]).removeprefix("sha256:")
                await self._blob(blob, lambda path=path: _chunks(path))
        await self.manifest(Manifest(image.manifest, str(image.descriptor["mediaType"])))

    async def manifest(self, manifest: Manifest) -> Descriptor:
        """Send a manifest under its digest, if it is not there, and return its descriptor."""
        return (await self._manifest(manifest))[0]

    async def _manifest(self, manifest: Manifest) -> tuple[Descriptor, bool]:
        """As `manifest`; return also whether the registry says that it lists it at its subject."""
        digest, listed = digest_of(manifest.content), False
        if await self.registry.digest(self.repository, digest) is None:
            listed = await self.registry.push_manifest(self.repository, digest, manifest)
            self.manifests += 1
        return {"mediaType": manifest.media_type, "digest": digest, "size": len(manifest.content)}, listed

    async def artifact(self, subject: Descriptor, artifact: Artifact) -> str:
        """Attach a document to an image, and return the digest of what refers to it."""
        for content in (_EMPTY, artifact.content):
            digest = digest_of(content)
            if not await self.registry.has_blob(self.repository, digest):
                await self._blob({"digest": digest, "size": len(content)}, lambda content=content: content)
        descriptor, listed = await self._manifest(Manifest(artifact.manifest(subject), MANIFEST))
        if not listed and not await self._lists(str(subject["digest"]), str(descriptor["digest"])):
            entry = {**descriptor, "artifactType": artifact.artifact_type, "annotations": dict(artifact.annotations)}
            await self._list_referrer(str(subject["digest"]), entry)
        return str(descriptor["digest"])

    async def _lists(self, subject: str, digest: str) -> bool:
        """Say whether the registry itself lists what refers to an image: what was there before, or was pushed to one
        that has the referrers API and does not say so, as the specification's drafts allowed.
        """
        listed = await self.registry.referrers(self.repository, subject) or []
        return any(one.get("digest") == digest for one in listed)

    async def document(self, listed: Descriptor) -> bytes | None:
        """Return the one document of what refers to an image, `None` where it is not to be had or is of another type.

        What it is called in a list is only what a list says: type, and digests, are checked.
        """
        digest = str(listed.get("digest"))
        found = await self.registry.manifest(self.repository, digest) if is_digest(digest) else None
        if found is None:
            return None
        try:
            manifest: Any = json.loads(found.content)
            (layer,) = manifest["layers"]
            kinds = {manifest["artifactType"], layer["mediaType"], listed["artifactType"]}
            digest, small = str(layer["digest"]), layer["size"] <= _LARGEST
        except (ValueError, KeyError, TypeError):
            return None
        if len(kinds) != 1 or not small or not is_digest(digest):
            return None
        return await self.registry.blob(self.repository, digest)

    async def referrers(self, digest: str) -> list[Descriptor]:
        """Return the descriptors of what refers to an image."""
        listed = await self.registry.referrers(self.repository, digest)
        return (await self._index(digest))["manifests"] if listed is None else listed

    async def tag(self, tag: str, manifest: Manifest) -> str | None:
        """Let a tag name a manifest that is there, and return the digest that it named before."""
        digest = digest_of(manifest.content)
        before = await self.registry.digest(self.repository, tag)
        if before != digest:
            await self.registry.push_manifest(self.repository, tag, manifest)
            self.manifests += 1
        return before

    async def _blob(self, blob: Descriptor, content: Callable[[], bytes | AsyncIterator[bytes]]) -> None:
        await self.registry.push_blob(self.repository, str(blob["digest"]), int(blob["size"]), content)
        self.blobs += 1
        self.size += int(blob["size"])

    async def _index(self, subject: str) -> dict[str, Any]:
        """Return what clients noted for a registry without the referrers API: an index tagged by the digest."""
        tag = subject.replace(":", "-")
        known = await self.registry.manifest(self.repository, tag)
        if known is None:
            return {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
        index = _parse_index(known.content)
        if index is None:  # the specification wants a failure, not an index in its place
            raise RegistryError(
                f"{self.repository}:{tag} should be the index of what refers to {subject}, and is something else "
                f"({known.media_type}): see who pushed it, and remove that tag"
            )
        return index

    async def _list_referrer(self, subject: str, listed: Descriptor) -> None:
        known = await self._index(subject)
        if listed in known["manifests"]:
            return
        others = [one for one in known["manifests"] if one.get("digest") != listed["digest"]]
        index = Manifest(json_bytes({**known, "manifests": [*others, listed]}), INDEX)
        await self.registry.push_manifest(self.repository, subject.replace(":", "-"), index)
        self.manifests += 1


def _parse_index(content: bytes) -> dict[str, Any] | None:
    try:
        index: Any = json.loads(content)
        fits = index.get("mediaType", INDEX) == INDEX and all(isinstance(one, dict) for one in index["manifests"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return index if fits else None


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        while chunk := await file.read(_CHUNK):
            yield chunk
