"""Makes tar files, OCI layouts and kernel modules to feed the imager with."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIME = 1_700_000_000


@dataclass(frozen=True)
class File:
    """One tar entry: a file's contents, a link's target, or a folder when both are None."""

    name: str
    data: bytes | None = None
    link: str | None = None
    mode: int = 0o644


def tar_bytes(files: list[File]) -> bytes:
    """Returns a tar of the files, each parent folder before what it holds."""
    buffer = io.BytesIO()
    made: set[str] = set()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for file in files:
            for parent in reversed([str(path) for path in Path(file.name).parents if str(path) != "."]):
                if parent not in made:
                    made.add(parent)
                    archive.addfile(_folder(parent))
            if file.data is None and file.link is None:
                if file.name not in made:
                    made.add(file.name)
                    archive.addfile(_folder(file.name))
                continue
            member = tarfile.TarInfo(file.name)
            member.mode, member.mtime = file.mode, TIME
            if file.link is not None:
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, file.link, 0o777
            member.size = len(file.data or b"")
            archive.addfile(member, io.BytesIO(file.data or b""))
    return buffer.getvalue()


def _folder(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = tarfile.DIRTYPE, 0o755, TIME
    return member


def oci_layout(
    folder: Path,
    layers: list[bytes],
    *,
    platform: str | None = "arm64",
    config: dict[str, Any] | None = None,
    nested: bool = False,
) -> Path:
    """Writes an image with the layers' tars as an OCI layout; `platform` is the label in `index.json`."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    document = {
        "architecture": "arm64",
        "os": "linux",
        "config": config or {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(json.dumps(document).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [
            put(gzip.compress(layer, 1, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip") for layer in layers
        ],
    }
    descriptor = put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    if platform is not None:
        descriptor["platform"] = {"os": "linux", "architecture": platform}
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [descriptor]}
    if nested:
        inner = put(json.dumps(index).encode(), "application/vnd.oci.image.index.v1+json")
        index = {**index, "manifests": [inner]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return folder


def kernel_module(*, exports: str = "", imports: str = "", padding: bytes = b"") -> bytes:
    """Returns a relocatable AArch64 ELF file that depmod takes for a kernel module with these symbols."""
    strings = b"\0" + b"".join(f"{name}\0".encode() for name in (imports,) if name)
    null_symbol = bytes(24)
    undefined = struct.pack("<IBBHQQ", 1, 0x10, 0, 0, 0, 0) if imports else b""
    sections: list[tuple[str, int, bytes]] = [
        ("", 0, b""),
        (".modinfo", 1, b"license=GPL\0name=test\0depends=\0"),
        (".strtab", 3, strings),
        (".symtab", 2, null_symbol + undefined),
        (".data", 1, padding),
    ]
    if exports:
        sections.append(("__ksymtab_strings", 1, f"{exports}\0".encode()))
    sections.append((".shstrtab", 3, b""))
    names = b"".join(f"{name}\0".encode() for name, _, _ in sections)
    sections[-1] = (".shstrtab", 3, names)
    body, headers, offset, name_offset = b"", b"", 64, 0
    for name, kind, data in sections:
        link = 2 if kind == 2 else 0
        size = 24 if kind == 2 else 0
        headers += struct.pack("<IIQQQQIIQQ", name_offset, kind, 0, 0, offset, len(data), link, 1, 1, size)
        body += data
        offset += len(data)
        name_offset += len(name) + 1
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 1, 183, 1, 0, 0, offset, 0, 64, 0, 0, 64, len(sections), len(sections) - 1)
    return ident + header + body + headers
