"""Programs with Authenticode signatures, whose form is real and whose content is not."""

from __future__ import annotations

import struct

from tests.unit.inspect import samples

_PE = 0x80
_OPTIONAL = _PE + 24
CHECKSUM = _OPTIONAL + 64
DIRECTORY = _OPTIONAL + 112 + 4 * 8


def _der(tag: int, *content: bytes) -> bytes:
    body = b"".join(content)
    length = bytes([len(body)]) if len(body) < 128 else b"\x82" + struct.pack(">H", len(body))
    return bytes([tag]) + length + body


def message(certificate: bytes, time: bytes) -> bytes:
    """A PKCS #7 message: SignedData with a certificate, and a signer's information that has the time."""
    signed = _der(
        0x30,
        _der(0x02, b"\1"),
        _der(0x31, b"digest algorithms"),
        _der(0x30, b"content"),
        _der(0xA0, _der(0x30, certificate)),
        _der(0x31, _der(0x30, time)),
    )
    return _der(0x30, _der(0x06, b"signedData"), _der(0xA0, signed))


def signed(program: bytes, time: bytes, certificate: bytes = b"c" * 200) -> bytes:
    """A program, signed."""
    pkcs = message(certificate, time)
    table = struct.pack("<IHH", 8 + len(pkcs), 0x0200, 0x0002) + pkcs
    table = table.ljust(-(-len(table) // 8) * 8, b"\0")
    data = bytearray(program)
    data[CHECKSUM : CHECKSUM + 4] = struct.pack("<I", sum(time) * 7_777_777 & 0xFFFFFFFF)
    data[DIRECTORY : DIRECTORY + 8] = struct.pack("<II", len(program), len(table))
    return bytes(data) + table


def boot_loader(time: bytes, text: bytes = b"systemd-boot", certificate: bytes = b"c" * 200) -> bytes:
    """A boot loader, signed at a time."""
    return signed(samples.pe("arm64", [(".text", text)], directories=16), time, certificate)


def uki(time: bytes, kernel: bytes, initramfs: bytes) -> bytes:
    """A UKI, signed at a time."""
    return signed(
        samples.pe("arm64", [(".text", b"stub"), (".linux", kernel), (".initrd", initramfs)], directories=16), time
    )
