"""Images in an OCI layout: which one is taken, its layers, its files flattened.

The descriptors directly in `index.json` count, by their `platform` label alone.
"""

from __future__ import annotations

import gzip
import json
import posixpath
import re
import subprocess
import tarfile
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, cast

from .errors import ImagerError, open_input, os_error_text, require

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .profile import ContainerAsset
    from .report import Progress

_REFERENCE = re.compile(
    r"(?P<repository>[a-zA-Z0-9._:-]+(?:/[a-z0-9._/-]+)?)"
    r"(?::(?P<tag>[\w.-]{1,128}))?(?:@(?P<digest>[a-z0-9]+:[0-9a-f]+))?"
)
_WHITEOUT = ".wh."


@dataclass(frozen=True)
class Layer:
    """One layer: its digest (`sha256:…`), that of its uncompressed bytes, and the file with it."""

    digest: str
    diff_id: str
    blob: Path


@dataclass(frozen=True)
class Image:
    """One image of a layout: its config document and its layers, lowest first."""

    config: dict[str, Any]
    layers: list[Layer]


def parse_reference(reference: str) -> re.Match[str]:
    """Splits an image reference into repository, tag and digest.

    Raises ImagerError `could not parse reference: …`.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ImagerError(f"could not parse reference: {reference}")
    return match


def pull(asset: ContainerAsset, arch: str, progress: Progress) -> Image:
    """Opens the image that an asset names.

    Raises ImagerError for a tarball, a layout without an image of that architecture, or a reference: the lab's imager
    has no network.
    """
    if asset.tarball_path:
        raise ImagerError("pulling tarball container image is not supported")
    if asset.oci_path:
        progress(f"using OCI image from {asset.oci_path}...")
        try:
            return _open_layout(Path(asset.oci_path), arch)
        except (KeyError, TypeError, AttributeError, ValueError):
            raise ImagerError(f"error opening OCI image: malformed document in {asset.oci_path}") from None
    progress(f"pulling {asset.image_ref}...")
    failed = f"error pulling image {asset.image_ref}"
    try:
        repository = parse_reference(asset.image_ref)["repository"]
    except ImagerError as error:
        raise ImagerError(f'{failed}: parsing reference "{asset.image_ref}": {error}') from None
    host, _, path = repository.partition("/")
    registry = host if path and re.search(r"[.:]|^localhost$", host) else "index.docker.io"
    raise ImagerError(
        f'{failed}: Get "https://{registry}/v2/": the lab\'s imager has no network: give the image as a file'
    )


def _open_layout(layout: Path, arch: str) -> Image:
    index_path = layout / "index.json"
    try:
        require(index_path)
    except ImagerError as error:
        raise ImagerError(f"error opening OCI layout: {error}") from None
    index = _document(index_path, "error opening OCI manifest")
    manifests: list[dict[str, Any]] = index.get("manifests") or []
    for descriptor in manifests:
        platform: dict[str, str] = descriptor.get("platform") or {}
        if (platform.get("os"), platform.get("architecture")) == ("linux", arch):
            return _open_image(layout, descriptor["digest"])
    raise ImagerError(f"no OCI image found for {arch}")


def _open_image(layout: Path, digest: str) -> Image:
    manifest = _document(_blob(layout, digest), "error opening OCI image")
    if "layers" not in manifest:
        media_type = manifest.get("mediaType", "")
        raise ImagerError(f"error opening OCI image: unexpected media type for {digest}: {media_type}")
    config = _document(_blob(layout, manifest["config"]["digest"]), "failed to get config file")
    digests: list[str] = [layer["digest"] for layer in manifest["layers"]]
    diff_ids: list[str] = config["rootfs"]["diff_ids"]
    pairs = zip(digests, diff_ids, strict=True)
    return Image(config, [Layer(digest, diff_id, _blob(layout, digest)) for digest, diff_id in pairs])


def _blob(layout: Path, digest: str) -> Path:
    algorithm, _, value = digest.partition(":")
    return layout / "blobs" / algorithm / value


def _document(path: Path, failed: str) -> dict[str, Any]:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ImagerError(f"{failed}: {os_error_text('open', path, error)}") from None
    except ValueError as error:
        raise ImagerError(f"{failed}: {error}") from None


def flattened(image: Image) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Yields the files of an image, the upper layers' first; what a layer hides stays away.

    Raises ImagerError `unexpected EOF` for a layer that ends too early.
    """
    seen: dict[PurePosixPath, bool] = {}
    for layer in reversed(image.layers):
        with _layer_tar(layer) as archive:
            try:
                for member in archive:
                    name = PurePosixPath(posixpath.normpath(member.name))
                    hides = name.name.startswith(_WHITEOUT)
                    if hides:
                        name = name.with_name(name.name.removeprefix(_WHITEOUT))
                    if name in seen or any(seen.get(parent) for parent in name.parents):
                        continue
                    seen[name] = hides or not member.isdir()
                    if not hides:
                        yield member, archive.extractfile(member) if member.isreg() else None
            except (tarfile.ReadError, EOFError, zlib.error, gzip.BadGzipFile):
                raise ImagerError("unexpected EOF") from None


@contextmanager
def _layer_tar(layer: Layer) -> Generator[tarfile.TarFile]:
    with ExitStack() as stack:
        raw = stack.enter_context(open_input(layer.blob))
        magic = raw.read(4)
        raw.seek(0)
        stream: IO[bytes] = raw
        if magic[:2] == b"\x1f\x8b":
            stream = cast("IO[bytes]", stack.enter_context(gzip.open(raw)))
        elif magic == b"\x28\xb5\x2f\xfd":
            process = stack.enter_context(subprocess.Popen(["zstd", "-dcq"], stdin=raw, stdout=subprocess.PIPE))
            assert process.stdout is not None
            stream = process.stdout
        try:
            archive = stack.enter_context(tarfile.open(fileobj=stream, mode="r|"))
        except (tarfile.ReadError, EOFError):
            raise ImagerError("unexpected EOF") from None
        yield archive
