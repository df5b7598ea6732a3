"""Programs that only say what they stand in for: static ELF executables of a few hundred bytes, without a compiler.

They print their text and fail, unless an argument is `-v`, `--version` or `version`. The same input gives the same
bytes on every machine, so the digest of an image that carries them is known without making it.
"""

from __future__ import annotations

import struct
from typing import Final

MACHINES: Final = {"amd64": 62, "arm64": 183}
"""Architecture → e_machine."""

_BASE: Final = 0x400000
_HEADERS: Final = 64 + 56
_PAGE: Final = 0x10000
"""Large enough for every page size of arm64's kernels."""

# Each is: write(1, text, length); for every argument: skip its dashes, and on `v` or `version` exit(0); exit(1).
_AMD64: Final = (
    "b801000000"  # mov eax, 1 (write)
    "bf01000000"  # mov edi, 1
    "488d35{text}"  # lea rsi, [rip + text]
    "ba{length}"  # mov edx, length
    "0f05"  # syscall
    "488b1c24"  # mov rbx, [rsp] (argc)
    "4c8d642410"  # lea r12, [rsp + 16] (argv[1])
    "bf01000000"  # mov edi, 1
    "48ffcb"  # next: dec rbx
    "7e29"  # jle end
    "498b3424"  # mov rsi, [r12]
    "4983c408"  # add r12, 8
    "803e2d"  # dash: cmp byte ptr [rsi], '-'
    "7505"  # jne word
    "48ffc6"  # inc rsi
    "ebf6"  # jmp dash
    "66833e76"  # word: cmp word ptr [rsi], "v\0"
    "740f"  # je good
    "48b876657273696f6e00"  # mov rax, "version\0"
    "483906"  # cmp [rsi], rax
    "75d4"  # jne next
    "31ff"  # good: xor edi, edi
    "b83c000000"  # end: mov eax, 60 (exit)
    "0f05"  # syscall
)
_ARM64: Final = (
    "080880d2"  # mov x8, 64 (write)
    "200080d2"  # mov x0, 1
    "a1030010"  # adr x1, text
    "{length}"  # mov w2, length
    "010000d4"  # svc 0
    "f30340f9"  # ldr x19, [sp] (argc)
    "f4430091"  # add x20, sp, 16 (argv[1])
    "350080d2"  # mov x21, 1
    "d6ae8cd2566eaef236edcdf2d60de0f2"  # mov x22, "version\0"
    "730600f1"  # next: subs x19, x19, 1
    "cd010054"  # b.le end
    "818640f8"  # ldr x1, [x20], 8
    "22004039"  # dash: ldrb w2, [x1]
    "5fb40071"  # cmp w2, '-'
    "61000054"  # b.ne word
    "21040091"  # add x1, x1, 1
    "fcffff17"  # b dash
    "22004079"  # word: ldrh w2, [x1]
    "5fd80171"  # cmp w2, "v\0"
    "80000054"  # b.eq good
    "220040f9"  # ldr x2, [x1]
    "5f0016eb"  # cmp x2, x22
    "61feff54"  # b.ne next
    "150080d2"  # good: mov x21, 0
    "e00315aa"  # end: mov x0, x21
    "a80b80d2"  # mov x8, 93 (exit)
    "010000d4"  # svc 0
)


def program(architecture: str, text: str) -> bytes:
    """Return a program for an architecture that prints a text."""
    said = text.encode()
    code = _amd64(len(said)) if architecture == "amd64" else _arm64(len(said))
    size = _HEADERS + len(code) + len(said)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01",
        2, MACHINES[architecture], 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 64, 0, 0,
    )  # fmt: skip
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, _PAGE)
    return header + segment + code + said


def stand_in(architecture: str, name: str, version: str) -> bytes:
    """Return a program that says which one it stands in for."""
    return program(
        architecture, f"STAND-IN: this is not {name} {version} but what the cozystack-talos lab has in its place\n"
    )


def _amd64(length: int) -> bytes:
    end = len(bytes.fromhex(_AMD64.format(text="00000000", length="00000000")))
    after = 17  # where the instruction that counts from its own end stops
    return bytes.fromhex(
        _AMD64.format(text=struct.pack("<i", end - after).hex(), length=struct.pack("<I", length).hex())
    )


def _arm64(length: int) -> bytes:
    low, high = 0x52800002 | (length & 0xFFFF) << 5, 0x72A00002 | (length >> 16) << 5
    return bytes.fromhex(_ARM64.format(length=struct.pack("<II", low, high).hex()))
