"""Digits in files are read as the formats say, and not as Python's `int` would."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from ci.inspect.errors import CorruptFileError, InspectError
from ci.inspect.inspect import inspect_path
from ci.inspect.numbers import number, tar_number
from tests.unit.inspect import samples
from tests.unit.inspect.samples import File

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("digits", "base", "value"),
    [
        (b"0", 10, 0),
        (b"0042", 10, 42),
        (b"755", 8, 0o755),
        (b"00ffAB", 16, 0xFFAB),
        (b"", 10, None),
        (b"8", 8, None),
        (b"-1", 10, None),
        (b"+1", 10, None),
        (b" 1", 10, None),
        (b"1\n", 10, None),
        (b"1_0", 10, None),
        (b"0x1", 16, None),
        ("\u0661".encode(), 10, None),
    ],
)
def test_a_number_is_digits_of_its_base_and_nothing_else(digits: bytes, base: int, value: int | None) -> None:
    assert number(digits, base) == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000644\0", 0o644),
        (b"000644 \0", 0o644),
        (b"   644 \0", 0o644),
        (b"00000644", 0o644),
        (b"644\0\xff\xff\xff\xff", 0o644),
        (bytes(8), 0),
        (b" " * 8, 0),
        (b"\x80" + (1 << 33).to_bytes(7), 1 << 33),
        (b"\xff" * 8, -1),
        (b"-000644\0", None),
        (b"+000644\0", None),
        (b"0_00644\0", None),
        (b"0o00644\0", None),
        (b"0000648\0", None),
        (b"\t000644\0", None),
        ("٦٤٤".encode() + b"\0\0", None),
    ],
)
def test_a_field_of_a_tar_header_is_octal_or_binary(field: bytes, value: int | None) -> None:
    assert tar_number(field) == value


def with_field(start: int, field: bytes) -> bytes:
    data = bytearray(samples.tar([File("a", b"1")]))
    data[start : start + len(field)] = field
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


@pytest.mark.parametrize("field", [b"-000644\0", b"0_00644\0", b"+000644\0", b"\n000644\0"])
@pytest.mark.parametrize("start", [100, 108, 116])
def test_a_tar_whose_header_has_no_number_is_refused(tmp_path: Path, start: int, field: bytes) -> None:
    (tmp_path / "tar").write_bytes(with_field(start, field))
    with pytest.raises(CorruptFileError, match=f"a header field at byte {start} is no number"):
        inspect_path(tmp_path / "tar")


@pytest.mark.parametrize("size", [b"0000000_001\0", b"+0000000001\0", b"-0000000001\0"])
def test_a_size_of_another_grammar_is_refused(tmp_path: Path, size: bytes) -> None:
    (tmp_path / "tar").write_bytes(with_field(124, size))
    with pytest.raises(InspectError):
        inspect_path(tmp_path / "tar")


def extended(key: str, value: str) -> bytes:
    record = f" {key}={value}\n"
    length = next(n for n in range(200) if len(f"{n}{record}") == n)
    content = f"{length}{record}".encode()
    header = bytearray(samples.tar([File("x", content)])[:1024])
    header[156:157] = b"x"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    return bytes(header) + samples.tar([File("a", b"1")])


@pytest.mark.parametrize(
    ("key", "value", "good"),
    [
        ("size", "1", True),
        ("mtime", "1700000000.25", True),
        ("mtime", "-1", True),
        ("size", "+1", False),
        ("size", "1_0", False),
        ("uid", " 1", False),
        ("gid", "\u0661", False),
        ("mtime", "1e9", False),
        ("mtime", "nan", False),
        ("mtime", "infinity", False),
    ],
)
def test_numbers_of_an_extended_header_are_decimal(tmp_path: Path, key: str, value: str, *, good: bool) -> None:
    (tmp_path / "tar").write_bytes(extended(key, value))
    if good:
        inspect_path(tmp_path / "tar")
    else:
        # Some versions of Python refuse digits of other scripts by themselves, in words of their own.
        others = "|no valid tar" if not value.isascii() else ""
        with pytest.raises(CorruptFileError, match=f"its {key} .* is no number{others}"):
            inspect_path(tmp_path / "tar")


def test_a_binary_size_beyond_8_gib_is_read_as_one(tmp_path: Path) -> None:
    (tmp_path / "tar").write_bytes(with_field(124, b"\x80" + struct.pack(">xxxQ", 9 << 30)))
    with pytest.raises(CorruptFileError, match="its 9663676416 bytes run past the archive's end"):
        inspect_path(tmp_path / "tar")
