"""Bytes of a serial console as lines with times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.boot.console import Line, Splitter, clean, parse_log

MENU = (
    b"\x1b[2J\x1b[01;01H\x1b[24;20H\x1b[0m\x1b[30m\x1b[47m       Talos (v1.13.6)     \x1b[25;20H\x1b[0m\x1b[37m"
    b"\x1b[40m   Reboot   \x1b[28;01H    Boot in 10 s.    \x1b[28;01H    Boot in 9 s.   "
    b"\x1b[2J\x1b[01;01HEFI stub: Booting Linux Kernel...\r\n"
)


def split(*parts: bytes) -> list[str]:
    splitter = Splitter()
    found = [line for part in parts for line in splitter.feed(part)]
    return [*found, *splitter.rest()]


def test_what_a_boot_loaders_menu_writes_at_other_places_are_lines() -> None:
    assert split(MENU) == [
        "       Talos (v1.13.6)",
        "   Reboot",
        "    Boot in 10 s.",
        "    Boot in 9 s.",
        "EFI stub: Booting Linux Kernel...",
    ]


def test_a_line_that_comes_in_parts_is_one() -> None:
    assert split(b"[    0.0] Linux ver", b"sion 6.18\xe2\x80", b"\xa6\r\n\r\nlast") == [
        "[    0.0] Linux version 6.18…",
        "",
        "last",
    ]


@given(st.binary(), st.integers(0, 400))
def test_where_the_bytes_are_cut_makes_no_difference(data: bytes, at: int) -> None:
    assert split(data[:at], data[at:]) == split(data)
    assert all(line == clean(line) for line in split(data))


def test_what_only_terminals_understand_is_taken_away() -> None:
    assert clean("\x1b[0;32mgreen\x1b[0m\x1b]0;title\x07 \x1b=x\ttab\x00  ") == "green x\ttab"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[    0.000000] Linux version 6.18", "Linux version 6.18"),
        ("[   12.345678][    T1] Run /init", "Run /init"),
        ("[   12.345678][   C0] Run /init", "Run /init"),
        ("BdsDxe: starting", "BdsDxe: starting"),
    ],
)
def test_the_message_is_the_text_without_the_kernels_time(text: str, message: str) -> None:
    assert Line(1.0, text).message == message


def test_a_log_of_this_project_is_read_as_it_was_written() -> None:
    written = [
        Line(0.215, "UEFI firmware (version 2025.02)"),
        Line(16.0, "[    0.000000] Linux version 6"),
        Line(17.25, ""),
    ]
    assert list(parse_log("".join(line.render() + "\n" for line in written))) == written


def test_any_other_log_has_the_kernels_times() -> None:
    text = "\x1b[0mfirmware\n[    1.500000] kernel\ncontinued\n[    2.000000] later\n"
    assert [(line.seconds, line.text) for line in parse_log(text)] == [
        (0.0, "firmware"),
        (1.5, "[    1.500000] kernel"),
        (1.5, "continued"),
        (2.0, "[    2.000000] later"),
    ]


def test_a_console_that_never_ends_a_line_is_cut() -> None:
    splitter = Splitter()
    lines = [line for _ in range(100) for line in splitter.feed(b"x" * 10_000)]
    assert lines
    assert max(map(len, lines)) < 5000


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ("a\u009b2Jb\n", "a\\x9b2Jb"),
        ("a\u202eb\u2066c\n", "a\\u202eb\\u2066c"),
        ("a\u2028ok    all.checks\n", "a\\u2028ok    all.checks"),
        ("a\tb ✓ é\n", "a\tb ✓ é"),
    ],
)
def test_nothing_of_a_console_is_obeyed_by_who_reads_it(data: str, line: str) -> None:
    assert list(Splitter().feed(data.encode())) == [line]
