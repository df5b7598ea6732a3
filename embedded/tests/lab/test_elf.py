from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from embedded.lab import elf
from embedded.lab.debian import NATIVE

SAID = "STAND-IN: this is not runsc 1.2 but what the cozystack-talos lab has in its place\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 1),
        (("-v",), 0),
        (("--version",), 0),
        (("version",), 0),
        (("serve", "--version"), 0),
        (("verbose",), 1),
        (("-vv",), 1),
        (("",), 1),
    ],
)
def test_program_says_what_it_stands_in_for_and_fails_unless_asked_for_its_version(
    tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    program = tmp_path / "program"
    program.write_bytes(elf.stand_in(NATIVE, "runsc", "1.2"))
    program.chmod(0o755)
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, SAID)


@pytest.mark.parametrize(("architecture", "machine"), [("amd64", 62), ("arm64", 183)])
def test_program_is_an_executable_of_its_architecture(architecture: str, machine: int) -> None:
    content = elf.stand_in(architecture, "runsc", "1.2")
    assert content.startswith(b"\x7fELF\x02\x01")
    assert struct.unpack_from("<HH", content, 16) == (2, machine)
    entry, segments = struct.unpack_from("<QQ", content, 24)
    kind, flags, offset, address, _, size, memory, _ = struct.unpack_from("<IIQQQQQQ", content, segments)
    assert (kind, flags, offset, size, memory) == (1, 5, 0, len(content), len(content))
    assert entry == address + segments + 56
    assert content.endswith(SAID.encode())


def test_text_of_arm64_is_where_its_code_looks_for_it() -> None:
    code = elf.program("arm64", "x" * 70_000)[120:]
    words = struct.unpack_from("<31I", code)
    where = 8 + ((words[2] >> 5 & 0x7FFFF) << 2 | words[2] >> 29 & 3)  # adr, the third instruction
    length = (words[3] >> 5 & 0xFFFF) | (words[4] >> 5 & 0xFFFF) << 16  # movz and movk
    assert code[where : where + length] == b"x" * 70_000
    assert len(code) == where + length
