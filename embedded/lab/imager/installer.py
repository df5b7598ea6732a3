"""The installer image as a docker archive: the base image's layers and one more with what is to be installed."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from .errors import ImagerError, require
from .oci import Image, Layer, parse_reference

if TYPE_CHECKING:
    from pathlib import Path

    from .contract import Contract
    from .report import Progress

# The fields of an image's `config` that survive, in the order in which they are written.
_CONFIG_FIELDS = [
    "AttachStderr",
    "AttachStdin",
    "AttachStdout",
    "Cmd",
    "Healthcheck",
    "Domainname",
    "Entrypoint",
    "Env",
    "Hostname",
    "Image",
    "Labels",
    "OnBuild",
    "OpenStdin",
    "StdinOnce",
    "Tty",
    "User",
    "Volumes",
    "WorkingDir",
    "ExposedPorts",
    "ArgsEscaped",
    "NetworkDisabled",
    "MacAddress",
    "StopSignal",
    "Shell",
]
_UNKNOWN_TIME = "0001-01-01T00:00:00Z"
_CHUNK = 1 << 20


def write_installer(
    base: Image,
    artifacts: dict[str, Path],
    overlay: dict[str, tuple[Path, int]],
    *,
    arch: str,
    reference: str,
    contract: Contract,
    scratch: Path,
    target: Path,
    progress: Progress,
) -> None:
    """Writes the installer of an architecture to a tar file; `artifacts` are its files by their path in the image.

    `overlay` are the files and folders of an overlay, with their modes: they become a layer of their own.

    `reference` becomes the image's name. A base of exactly two layers loses its second, which is where an installer of
    Talos keeps its own artifacts.
    Raises ImagerError for a reference that cannot be read.
    """
    progress("creating empty image")
    layers = list(base.layers)
    if len(layers) == 2:
        del layers[1]
    progress("generating artifacts layer")
    files = {path: (source, 0) for path, source in artifacts.items()}
    layers.append(_layer(files, scratch / "artifacts.tar.gz"))
    if overlay:
        progress("generating overlay installer layer")
        layers.append(_layer(overlay, scratch / "overlay.tar.gz"))
    try:
        tags = None if parse_reference(reference)["digest"] else [reference]
    except ImagerError as error:
        raise ImagerError(f"failed to parse image reference: {error}") from None
    progress("writing image tarball")
    config = _compact(_config(base, layers, arch, contract))
    config_name = f"sha256:{hashlib.sha256(config).hexdigest()}"
    names = [f"{layer.digest.removeprefix('sha256:')}.tar.gz" for layer in layers]
    with target.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        _add(archive, config_name, len(config), io.BytesIO(config))
        for name, layer in dict(zip(names, layers, strict=True)).items():
            with layer.blob.open("rb") as blob:
                _add(archive, name, require(layer.blob).st_size, blob)
        manifest = _compact([{"Config": config_name, "RepoTags": tags, "Layers": names}])
        _add(archive, "manifest.json", len(manifest), io.BytesIO(manifest))


def _config(base: Image, layers: list[Layer], arch: str, contract: Contract) -> dict[str, Any]:
    runtime: dict[str, Any] = base.config.get("config") or {}
    return {
        "architecture": arch,
        "created": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "history": [{"created": _UNKNOWN_TIME} for _ in layers],
        "os": "linux",
        "rootfs": {"type": contract.installer_rootfs_type, "diff_ids": [layer.diff_id for layer in layers]},
        "config": {key: runtime[key] for key in _CONFIG_FIELDS if runtime.get(key)},
    }


def _layer(files: dict[str, tuple[Path, int]], target: Path) -> Layer:
    # Without a time or a name in its header, so that the same files give the same layer.
    command = ["igzip", "-1", "--no-name", "--stdout"]
    with target.open("wb") as compressed, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=compressed) as gzip:
        assert gzip.stdin is not None
        plain = _HashingWriter(gzip.stdin)
        with tarfile.open(fileobj=plain, mode="w|", format=tarfile.USTAR_FORMAT, bufsize=_CHUNK) as archive:
            for name, (source, mode) in sorted(files.items()):
                size = require(source).st_size
                if source.is_dir():
                    folder = tarfile.TarInfo(name)
                    folder.type, folder.mode = tarfile.DIRTYPE, mode
                    archive.addfile(folder)
                    continue
                with source.open("rb") as file:
                    _add(archive, name, size, file, mode)
    if gzip.returncode != 0:
        raise ImagerError(f"igzip: exit status {gzip.returncode}")
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Layer(f"sha256:{digest}", plain.digest, target)


class _HashingWriter(io.RawIOBase):
    """Passes bytes on and sums them up."""

    def __init__(self, target: IO[bytes]) -> None:
        super().__init__()
        self._target = target
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._hash.update(data)
        return self._target.write(data)


def _add(archive: tarfile.TarFile, name: str, size: int, contents: BinaryIO, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, mode, 0
    archive.addfile(member, contents)


def _compact(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
