"""Write OCI layers, images and indexes into a folder of blobs, the same bytes from the same input.

The folder is laid out as `sha256/<hex>`, which is both an OCI layout's `blobs/` and what go-containerregistry's
registry serves with `--disk`: what is written here is already in the registry, only manifests must be told to it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import tempfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, Protocol, cast

EPOCH: Final = 1767225600
"""Seconds since 1970 that everything in the lab is dated with: 2026-01-01."""

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"

STAND_IN: Final = "io.cozystack.talos.stand-in"
"""Label of every image of the lab, annotation of its manifests and index; its value is the word below."""
STAND_IN_WORD: Final = "true"

GZIP_LEVEL: Final = 1  # Layers never leave the machine: time to write them counts, their size hardly.
_CHUNK: Final = 1 << 20
_STORED: Final = 0xFFFF
"""Bytes that a block of deflate can hold as they are."""


class _Packer(Protocol):
    def write(self, data: bytes, /) -> object: ...

    def close(self) -> object: ...


class _StoringPacker:
    """Writes gzip without compressing: what comes out depends on no version of zlib."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sum = self._size = 0
        self._rest = b""
        file.write(b"\x1f\x8b\x08\0\0\0\0\0\0\xff")

    def write(self, data: bytes, /) -> None:
        self._sum, self._size = zlib.crc32(data, self._sum), self._size + len(data)
        data = self._rest + data
        whole = len(data) - len(data) % _STORED
        for at in range(0, whole, _STORED):
            self._block(data[at : at + _STORED], last=False)
        self._rest = data[whole:]

    def close(self) -> None:
        self._block(self._rest, last=True)
        self._file.write(struct.pack("<II", self._sum, self._size & 0xFFFFFFFF))

    def _block(self, data: bytes, *, last: bool) -> None:
        self._file.write(struct.pack("<BHH", last, len(data), len(data) ^ 0xFFFF))
        self._file.write(data)


def _compressing(file: IO[bytes]) -> _Packer:
    return cast("_Packer", gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0))


@dataclass(frozen=True)
class Descriptor:
    """What a manifest says of a blob; `size` in bytes."""

    media_type: str
    digest: str
    size: int

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in a manifest."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Descriptor:
        """Read it from a manifest or a stamp."""
        return cls(str(value["mediaType"]), str(value["digest"]), int(value["size"]))


@dataclass(frozen=True)
class Layer:
    """A compressed layer and the digest of its uncompressed tar, which image configs list."""

    blob: Descriptor
    diff_id: str

    def as_json(self) -> dict[str, Any]:
        """Return it for a stamp."""
        return {**self.blob.as_json(), "diffID": self.diff_id}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Layer:
        """Read it from a stamp."""
        return cls(Descriptor.from_json(value), str(value["diffID"]))


def _no_strings() -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Platform:
    """One platform's image: its layers, lowest first, and the `config` part of its image config."""

    architecture: str
    layers: Sequence[Layer]
    config: Mapping[str, Any] = field(default_factory=_no_strings)


@dataclass(frozen=True)
class Image:
    """What was written for a reference: what its tag points at, and all manifests in the order to push them."""

    top: Descriptor
    manifests: tuple[Descriptor, ...]
    blobs: tuple[Descriptor, ...]


class Blobs:
    """A folder of blobs named by their digests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: str) -> Path:
        """Return where the blob of this digest lies or would lie."""
        algorithm, _, encoded = digest.partition(":")
        return self.folder / algorithm / encoded

    def has(self, blob: Descriptor) -> bool:
        """Tell whether the blob is there with its full size."""
        try:
            return self.path(blob.digest).stat().st_size == blob.size
        except FileNotFoundError:
            return False

    def put(self, content: bytes, media_type: str) -> Descriptor:
        """Write one blob."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        blob = Descriptor(media_type, digest, len(content))
        if not self.has(blob):
            with self._temporary() as file:
                file.write(content)
            Path(file.name).replace(self.path(digest))
        return blob

    def put_json(self, value: Mapping[str, Any], media_type: str) -> Descriptor:
        """Write one JSON document, compact and in the order given."""
        return self.put(json.dumps(value, separators=(",", ":")).encode(), media_type)

    def put_layer(self, tar: IO[bytes], *, cut: int | None = None, stored: bool = False) -> Layer:
        """Write an uncompressed tar as a gzip layer.

        `cut` keeps only that many bytes of the compressed stream. `stored` does not compress: the layer's digest is
        then the same wherever it is made.
        """
        plain = hashlib.sha256()
        with self._temporary() as file:
            with closing(_StoringPacker(file) if stored else _compressing(file)) as packer:
                while chunk := tar.read(_CHUNK):
                    plain.update(chunk)
                    packer.write(chunk)
            if cut is not None:
                file.truncate(cut)
        packed = Path(file.name)
        with packed.open("rb") as again:
            digest = f"sha256:{hashlib.file_digest(again, 'sha256').hexdigest()}"
        blob = Descriptor(LAYER, digest, packed.stat().st_size)
        packed.replace(self.path(digest))
        return Layer(blob, f"sha256:{plain.hexdigest()}")

    def put_image(
        self, platforms: Sequence[Platform], *, description: str, single: bool = False, attested: bool = False
    ) -> Image:
        """Write configs, manifests and an index; `single`: the only platform's manifest, without an index.

        `attested` adds a manifest about each platform's, as BuildKit writes provenance: of platform unknown/unknown.
        """
        created = datetime.fromtimestamp(EPOCH, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        annotations = {STAND_IN: STAND_IN_WORD, "org.opencontainers.image.description": f"STAND-IN: {description}"}
        manifests: list[Descriptor] = []
        blobs: list[Descriptor] = []
        entries: list[dict[str, Any]] = []
        for platform in platforms:
            labels = {**platform.config.get("Labels", {}), **annotations}
            config = self.put_json(
                {
                    "created": created,
                    "architecture": platform.architecture,
                    "os": "linux",
                    "config": {**platform.config, "Labels": labels},
                    "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in platform.layers]},
                    "history": [{"created": created, "created_by": "cozystack-talos lab"} for _ in platform.layers],
                },
                CONFIG,
            )
            manifest = self.put_json(
                {
                    "schemaVersion": 2,
                    "mediaType": MANIFEST,
                    "config": config.as_json(),
                    "layers": [layer.blob.as_json() for layer in platform.layers],
                    "annotations": annotations,
                },
                MANIFEST,
            )
            blobs += [config, *(layer.blob for layer in platform.layers)]
            manifests.append(manifest)
            entries.append({**manifest.as_json(), "platform": {"architecture": platform.architecture, "os": "linux"}})
        for about in list(manifests) if attested else ():
            attestation, named = self._put_attestation(about, annotations)
            manifests.append(attestation)
            blobs += named
            entries.append(
                {
                    **attestation.as_json(),
                    "annotations": {
                        "vnd.docker.reference.digest": about.digest,
                        "vnd.docker.reference.type": "attestation-manifest",
                    },
                    "platform": {"architecture": "unknown", "os": "unknown"},
                }
            )
        if single:
            (top,) = manifests
        else:
            top = self.put_json(
                {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries, "annotations": annotations}, INDEX
            )
            manifests.append(top)
        return Image(top, tuple(manifests), tuple(_distinct(blobs)))

    def _put_attestation(
        self, about: Descriptor, annotations: Mapping[str, str]
    ) -> tuple[Descriptor, list[Descriptor]]:
        """Write a statement about a manifest, with nothing in it; return its manifest, and the blobs of that."""
        statement = self.put_json(
            {
                "_type": "https://in-toto.io/Statement/v0.1",
                "predicateType": "https://slsa.dev/provenance/v0.2",
                "subject": [{"name": STAND_IN, "digest": {"sha256": about.digest.partition(":")[2]}}],
                "predicate": {},
            },
            "application/vnd.in-toto+json",
        )
        rootfs = {"type": "layers", "diff_ids": [statement.digest]}
        config = self.put_json({"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": rootfs}, CONFIG)
        manifest = self.put_json(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config.as_json(),
                "layers": [statement.as_json()],
                "annotations": annotations,
            },
            MANIFEST,
        )
        return manifest, [config, statement]

    def _temporary(self) -> IO[bytes]:
        (self.folder / "sha256").mkdir(parents=True, exist_ok=True)
        return tempfile.NamedTemporaryFile(dir=self.folder, prefix="new-", delete=False)

    def sweep(self) -> None:
        """Remove what interrupted writers left."""
        for left in self.folder.glob("new-*"):
            with suppress(FileNotFoundError):
                left.unlink()


def _distinct(blobs: Iterable[Descriptor]) -> list[Descriptor]:
    return list({blob.digest: blob for blob in blobs}.values())
