"""Signatures of EFI programs (Microsoft's "Windows Authenticode Portable Executable Signature Format"), by openssl.

A signed PE file ends in a certificate table, whose entry is a PKCS#7 message. What is signed is a small structure with
the digest of the file without its checksum, the table and where the table is.
"""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PKCS7 = 2
_INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"
_LINE = re.compile(r" *(\d+):d=\d+ +hl=(\d+) l= *(\d+) +\w+: (.*)")


@dataclass(frozen=True)
class Signature:
    """A file's signature: the message, what is signed in it, and the digest that the file really has."""

    message: bytes
    content: bytes
    digest: bytes


def signature_of(program: bytes) -> Signature | None:
    """Return the only signature of an EFI program, `None` where it has none."""
    (header,) = struct.unpack_from("<I", program, 0x3C)
    optional = header + 24
    assert struct.unpack_from("<H", program, optional) == (0x20B,)
    checksum, entry = optional + 64, optional + 112 + 4 * 8
    at, size = struct.unpack_from("<II", program, entry)
    if not size:
        return None
    assert at + size == len(program)
    length, _, kind = struct.unpack_from("<IHH", program, at)
    assert kind == _PKCS7
    covered = (program[:checksum], program[checksum + 4 : entry], program[entry + 8 : at])
    message = program[at + 8 : at + length]
    return Signature(message, _content(message), hashlib.sha256(b"".join(covered)).digest())


def _content(message: bytes) -> bytes:
    """Return what is signed: the inside of the structure behind its own type."""
    command = ["openssl", "asn1parse", "-inform", "DER"]
    told = subprocess.run(command, input=message, capture_output=True, check=True).stdout.decode()
    lines = [match.groups() for line in told.splitlines() if (match := _LINE.match(line))]
    place = next(number for number, line in enumerate(lines) if line[3].strip().endswith(f":{_INDIRECT_DATA}"))
    offset, head, length = (int(number) for number in lines[place + 2][:3])
    return message[offset + head : offset + head + length]


def is_signed(program: bytes, certificate: Path, scratch: Path) -> bool:
    """Whether an EFI program is as it was when the key of a certificate signed it."""
    signature = signature_of(program)
    if signature is None or not signature.content.endswith(signature.digest):
        return False
    message, content = scratch / "signature.der", scratch / "signed.der"
    message.write_bytes(signature.message)
    content.write_bytes(signature.content)
    command = ["openssl", "smime", "-verify", "-inform", "DER", "-in", message, "-content", content, "-binary"]
    trusted = ["-CAfile", certificate, "-purpose", "any"]
    return subprocess.run([*command, *trusted], capture_output=True, check=False).returncode == 0
