"""Small real files of every kind, written byte by byte: the readers are tested without any tool or download."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import struct
import tarfile
import zlib
from dataclasses import dataclass, field
from typing import Any

import yaml
import zstandard

ELF_MACHINES = {"amd64": 62, "arm64": 183, "386": 3}
PE_MACHINES = {"arm64": 0xAA64, "amd64": 0x8664}


def elf(machine: str = "arm64", payload: bytes = b"") -> bytes:
    """The 64 bytes of an ELF header, and what is wanted behind it."""
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    return ident + struct.pack("<HHIQQQIHHHHHH", 2, ELF_MACHINES[machine], 1, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0) + payload


def module(machine: str = "arm64", release: str = "6.18.38-talos", depends: str | None = None) -> bytes:
    needs = b"" if depends is None else b"depends=" + depends.encode() + b"\0"
    vermagic = b"vermagic=" + release.encode() + b" SMP preempt mod_unload aarch64\0"
    return elf(machine, b"\0license=GPL\0" + needs + vermagic + b"name=drbd\0")


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(data)


def xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=0)


def gz(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


COMPRESS = {"zstd": zstd, "xz": xz, "gzip": gz}


@dataclass
class File:
    """One name of a sample tree; a directory ends with a slash, a symlink has a target."""

    path: str
    data: bytes = b""
    mode: int | None = None
    target: str | None = None

    @property
    def kind(self) -> int:
        return 0o040000 if self.path.endswith("/") else 0o120000 if self.target is not None else 0o100000

    @property
    def bits(self) -> int:
        return self.mode if self.mode is not None else 0o755 if self.kind == 0o040000 else 0o644


def cpio(files: list[File], trailer: bool = True, mtime: int = 1700000000) -> bytes:
    out = io.BytesIO()

    def member(name: str, mode: int, data: bytes, inode: int) -> None:
        raw = name.encode() + b"\0"
        fields = [inode, mode, 0, 0, 1, mtime, len(data), 0, 0, 0, 0, len(raw), 0]
        out.write(b"070701" + "".join(f"{field:08x}" for field in fields).encode() + raw)
        out.write(bytes(-out.tell() % 4))
        out.write(data)
        out.write(bytes(-out.tell() % 4))

    for inode, file in enumerate(files):
        data = file.target.encode() if file.target is not None else file.data
        member(file.path.rstrip("/"), file.kind | file.bits, data, inode)
    if trailer:
        member("TRAILER!!!", 0, b"", 0)
    return out.getvalue()


class _Metadata:
    """A squashfs metadata stream: 8 KiB blocks, each behind a two-byte header."""

    def __init__(self, compression: str, plain: bool = False) -> None:
        self.compression = compression
        self.plain = plain
        self.blocks: list[bytes] = []
        self.current = b""

    def _pack(self, data: bytes) -> bytes:
        packed = block_compress(self.compression, data)
        if len(packed) < len(data) and not self.plain:
            return struct.pack("<H", len(packed)) + packed
        return struct.pack("<H", len(data) | 0x8000) + data

    def position(self) -> tuple[int, int]:
        return sum(map(len, self.blocks)), len(self.current)

    def write(self, data: bytes) -> None:
        self.current += data
        while len(self.current) >= 8192:
            self.blocks.append(self._pack(self.current[:8192]))
            self.current = self.current[8192:]

    def finish(self) -> bytes:
        if self.current:
            self.blocks.append(self._pack(self.current))
            self.current = b""
        return b"".join(self.blocks)


def block_compress(compression: str, data: bytes) -> bytes:
    if compression == "gzip":
        return zlib.compress(data)
    if compression == "xz":
        return lzma.compress(data, check=lzma.CHECK_CRC32)
    return zstandard.ZstdCompressor(level=1).compress(data)


def squashfs(  # noqa: C901 (one format, one function)
    files: list[File], compression: str = "zstd", block_size: int = 4096, *, plain: bool = False
) -> bytes:
    """A squashfs 4.0 image: data, fragments, inodes, directories; parents are added, `plain` packs no metadata."""
    created = 1700000000
    tree: dict[str, File] = {}
    for file in files:
        parts = file.path.rstrip("/").split("/")
        for end in range(1, len(parts)):
            tree.setdefault("/".join(parts[:end]), File("/".join(parts[:end]) + "/"))
        tree[file.path.rstrip("/")] = file
    body = bytearray(96)
    fragments: list[tuple[int, int]] = []
    inodes, directories = _Metadata(compression, plain), _Metadata(compression, plain)
    types = {0o040000: 1, 0o100000: 2, 0o120000: 3}
    numbers = {path: number for number, path in enumerate(sorted(tree), 2)}

    def header(kind: int, mode: int, number: int) -> bytes:
        return struct.pack("<HHHHII", kind, mode, 0, 0, created, number)

    def data_block(data: bytes) -> int:
        packed = block_compress(compression, data)
        size = len(packed)
        if size >= len(data):
            packed, size = data, len(data) | 0x1000000
        body.extend(packed)
        return size

    def file_inode(path: str, file: File) -> None:
        start = len(body)
        whole = len(file.data) // block_size
        sizes = [data_block(file.data[at * block_size : (at + 1) * block_size]) for at in range(whole)]
        fragment = 0xFFFFFFFF
        if tail := file.data[whole * block_size :]:
            where = len(body)
            fragments.append((where, data_block(tail)))
            fragment = len(fragments) - 1
        inodes.write(header(2, file.bits, numbers[path]) + struct.pack("<IIII", start, fragment, 0, len(file.data)))
        inodes.write(b"".join(struct.pack("<I", size) for size in sizes))

    def directory(path: str, mode: int) -> tuple[int, int]:
        children = sorted(p for p in tree if p.rpartition("/")[0] == path and p)
        places: list[tuple[str, int, int, int]] = []
        for child in children:
            file = tree[child]
            if file.kind == 0o040000:
                block, offset = directory(child, file.bits)
            else:
                block, offset = inodes.position()
                if file.kind == 0o120000:
                    target = (file.target or "").encode()
                    inodes.write(header(3, 0o777, numbers[child]) + struct.pack("<II", 1, len(target)) + target)
                else:
                    file_inode(child, file)
            places.append((child.rpartition("/")[2], block, offset, types[file.kind]))
        listing = b""
        for name, block, offset, kind in places:
            listing += struct.pack("<III", 0, block, 1) + struct.pack("<HhHH", offset, 0, kind, len(name.encode()) - 1)
            listing += name.encode()
        at = directories.position()
        directories.write(listing)
        here = inodes.position()
        number = numbers.get(path, 1)
        # The extended inode, whose size has 32 bits.
        inodes.write(
            header(8, mode, number) + struct.pack("<IIIIHHI", 2, len(listing) + 3, at[0], 0, 0, at[1], 0xFFFFFFFF)
        )
        return here

    root = directory("", 0o755)
    inode_start = len(body)
    body.extend(inodes.finish())
    directory_start = len(body)
    body.extend(directories.finish())

    def table(data: bytes) -> int:
        pointers: list[int] = []
        for at in range(0, len(data), 8192):
            pointers.append(len(body))
            block = _Metadata(compression)
            block.write(data[at : at + 8192])
            body.extend(block.finish())
        start = len(body)
        body.extend(b"".join(struct.pack("<Q", pointer) for pointer in pointers))
        return start

    fragment_table = table(b"".join(struct.pack("<QII", start, size, 0) for start, size in fragments))
    id_table = table(struct.pack("<I", 0))
    none = 0xFFFFFFFFFFFFFFFF
    body[:96] = struct.pack(
        "<4sIIIIHHHHHHQQQQQQQQ",
        b"hsqs",
        len(tree) + 1,
        created,
        block_size,
        len(fragments),
        {"gzip": 1, "xz": 4, "zstd": 6}[compression],
        block_size.bit_length() - 1,
        0,
        1,
        4,
        0,
        root[0] << 16 | root[1],
        len(body),
        id_table,
        none,
        inode_start,
        directory_start,
        fragment_table if fragments else none,
        none,
    )
    body.extend(bytes(-len(body) % 4096))
    return bytes(body)


def pe(
    machine: str, sections: list[tuple[str, bytes]], start: bytes = b"MZ", offset: int = 0x80, directories: int = 0
) -> bytes:
    """A PE32+ file of the given sections, each padded to 512 bytes."""
    count = len(sections)
    header_size = offset + 24 + 112 + 8 * directories + 40 * count
    at = -(-header_size // 512) * 512
    table, body = b"", b""
    address = 0x1000
    for name, data in sections:
        raw = -(-len(data) // 512) * 512
        table += struct.pack(
            "<8sIIIIIIHHI", name.encode(), len(data), address, raw, at + len(body) if raw else 0, 0, 0, 0, 0, 0x40000040
        )
        body += data + bytes(raw - len(data))
        address += -(-max(len(data), 1) // 0x1000) * 0x1000
    coff = b"PE\0\0" + struct.pack(
        "<HHIIIHH", PE_MACHINES[machine], count, 1700000000, 0, 0, 112 + 8 * directories, 0x206
    )
    optional = struct.pack("<HBBIIIII", 0x20B, 0, 0, 0, 0, 0, 0x1000, 0x1000)
    optional += struct.pack(
        "<QIIHHHHHHIIIIHHQQQQII", 0, 0x1000, 512, 0, 0, 0, 0, 0, 0, 0, address, at, 0, 10, 0, *[0] * 5, directories
    )
    optional += bytes(8 * directories)
    head = bytearray(start.ljust(offset, b"\0"))
    head[0x3C:0x40] = struct.pack("<I", offset)
    return (bytes(head) + coff + optional + table).ljust(at, b"\0") + body


def banner(version: str) -> bytes:
    return b"Linux version %s (\0Linux version " + version.encode() + b" (root@builder) (gcc) #1 SMP\n\0"


def kernel(version: str = "6.18.38-talos", machine: str = "arm64", payload: bytes = b"") -> bytes:
    """An arm64 EFI `Image`, or an x86 `bzImage` with an EFI stub."""
    if machine == "amd64":
        start = bytearray(0x400)
        start[:2] = b"MZ"
        start[0x1FE:0x200] = b"\x55\xaa"
        start[0x202:0x206] = b"HdrS"
        start[0x20E:0x210] = struct.pack("<H", 0x100)
        start[0x300:0x380] = (version.encode() + b" (root@builder) #1 SMP\0").ljust(128, b"\0")
        return pe("amd64", [(".text", payload)], bytes(start), 0x400)
    start = bytearray(64)
    start[:4] = b"MZ\x40\xfa"
    start[56:60] = b"ARMd"
    return pe("arm64", [(".text", banner(version) + payload)], bytes(start), 0x40)


def zboot(version: str = "6.18.38-talos") -> bytes:
    inner = gz(kernel(version))
    start = bytearray(64)
    start[:8] = b"MZ\0\0zimg"
    image = bytearray(pe("arm64", [(".gzdata", inner + struct.pack("<I", 99))], bytes(start), 0x40))
    offset = image.index(inner)
    image[8:16] = struct.pack("<II", offset, len(inner))
    image[24:28] = b"gzip"
    return bytes(image)


OSREL = 'NAME="Talos"\nID=talos\nVERSION_ID={0}\nPRETTY_NAME="Talos ({0})"\n'
CMDLINE = "talos.platform=metal console=ttyAMA0 console=tty0 init_on_alloc=1 slab_nomerge pti=on"


def uki(
    kernel_image: bytes,
    initramfs: bytes,
    machine: str = "arm64",
    talos: str = "v1.13.6",
    cmdline: str = CMDLINE,
    uname: str = "6.18.38-talos",
    more: tuple[tuple[str, bytes], ...] = (),
) -> bytes:
    return pe(
        machine,
        [
            (".text", b"stub"),
            (".sbat", b"sbat,1,SBAT Version\n"),
            (".osrel", OSREL.format(talos).encode()),
            (".cmdline", cmdline.encode()),
            (".uname", uname.encode()),
            (".linux", kernel_image),
            (".initrd", initramfs),
            (".profile", b"ID=main"),
            *more,
        ],
    )


def boot_loader(machine: str = "arm64") -> bytes:
    return pe(machine, [(".text", b"systemd-boot"), (".sbat", b"sbat,1,SBAT Version\nsystemd-boot,1\n")])


def tar(files: list[File], mtime: int = 0) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            info = tarfile.TarInfo(file.path.rstrip("/"))
            info.mtime = mtime
            info.mode = file.bits
            if file.kind == 0o040000:
                info.type = tarfile.DIRTYPE
            elif file.target is not None:
                info.type = tarfile.SYMTYPE
                info.linkname = file.target
            else:
                info.size = len(file.data)
            archive.addfile(info, io.BytesIO(file.data) if info.isreg() else None)
    return out.getvalue()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Image:
    """A container image to be written as a docker archive or an OCI layout."""

    layers: list[list[File]]
    architecture: str = "arm64"
    tags: list[str] = field(default_factory=lambda: ["ghcr.io/siderolabs/installer-base:v1.13.6"])
    labels: dict[str, str] = field(default_factory=lambda: {"alpha.talos.dev/version": "v1.13.6"})
    env: list[str] = field(default_factory=lambda: ["TARGETARCH=arm64", "VERSION=v1.13.6"])
    entrypoint: list[str] = field(default_factory=lambda: ["/bin/installer"])
    created: str = "2026-01-01T00:00:00Z"

    def config(self, plain: list[bytes]) -> bytes:
        run = {"Labels": self.labels, "Env": self.env, "Entrypoint": self.entrypoint, "WorkingDir": "/"}
        rootfs = {"type": "layers", "diff_ids": [f"sha256:{sha(layer)}" for layer in plain]}
        value = {"architecture": self.architecture, "os": "linux", "created": self.created, "config": run}
        return json.dumps({**value, "rootfs": rootfs}).encode()

    def archive(self) -> bytes:
        plain = [tar(layer) for layer in self.layers]
        packed = [gz(layer) for layer in plain]
        config = self.config(plain)
        names = [f"{sha(layer)}.tar.gz" for layer in packed]
        manifest = [{"Config": f"sha256:{sha(config)}", "RepoTags": self.tags, "Layers": names}]
        members = [File(f"sha256:{sha(config)}", config)]
        members += [File(name, layer) for name, layer in zip(names, packed, strict=True)]
        return tar([*members, File("manifest.json", json.dumps(manifest).encode())])

    def layout(self) -> list[File]:
        plain = [tar(layer) for layer in self.layers]
        packed = [zstd(layer) for layer in plain]
        config = self.config(plain)

        def descriptor(kind: str, data: bytes, **more: Any) -> dict[str, Any]:
            media = f"application/vnd.oci.image.{kind}"
            return {"mediaType": media, "digest": f"sha256:{sha(data)}", "size": len(data), **more}

        layers = [descriptor("layer.v1.tar+zstd", layer) for layer in packed]
        manifest = json.dumps(
            {"schemaVersion": 2, "config": descriptor("config.v1+json", config), "layers": layers}
        ).encode()
        platform = {"os": "linux", "architecture": self.architecture}
        index = {"schemaVersion": 2, "manifests": [descriptor("manifest.v1+json", manifest, platform=platform)]}
        blobs = [config, manifest, *packed]
        return [
            File("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'),
            File("index.json", json.dumps(index).encode()),
            *[File(f"blobs/sha256/{sha(blob)}", blob) for blob in blobs],
        ]


def installer(
    uki_image: bytes, loader: bytes, arch: str = "arm64", talos: str = "v1.13.6", extra: list[File] | None = None
) -> Image:
    base = [File("usr/"), File("usr/bin/"), File("usr/bin/installer", elf(arch), 0o755), File("bin", target="usr/bin")]
    artifacts = [
        File(f"usr/install/{arch}/systemd-boot.efi", loader, 0),
        File(f"usr/install/{arch}/vmlinuz.efi", uki_image, 0),
    ]
    return Image(
        [base, artifacts + (extra or [])],
        architecture=arch,
        tags=[f"ghcr.io/siderolabs/installer-base:{talos}"],
        labels={"alpha.talos.dev/version": talos},
        env=[f"TARGETARCH={arch}", f"VERSION={talos}"],
    )


def layers_yaml(layers: list[dict[str, Any]]) -> bytes:
    return yaml.safe_dump({"layers": layers}, sort_keys=False).encode()


def layer(image: str, name: str, version: str, constraint: str = ">= v1.0.0") -> dict[str, Any]:
    metadata = {"name": name, "version": version, "author": "Sidero Labs", "description": f"{name} for Talos\n"}
    return {"image": image, "metadata": {**metadata, "compatibility": {"talos": {"version": constraint}}}}


def manifest(name: str = "spin", version: str = "v0.21.0", constraint: str = ">= v1.0.0") -> bytes:
    value = {"version": "v1alpha1", **{k: v for k, v in layer("", name, version, constraint).items() if k != "image"}}
    return yaml.safe_dump(value, sort_keys=False).encode()
