"""The gate for text from outside."""

from __future__ import annotations

import time

import pytest

from embedded.errors import ExplainedError
from embedded.shown import LINE_LIMIT, shown, shown_lines, without_passwords

HOSTILE = "a\x1b[2Jb\rc\nd\u202ee\u2066f\x9bg\x7fh\x00i\udcffj\u2028k\u200bl\U000e0041m"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain text, ünïcödé, 日本語, ─ … ✔", "plain text, ünïcödé, 日本語, ─ … ✔"),
        ("1.0\n\x1b[31mX", "1.0\\nX"),
        ("\x1b[1;32mgreen\x1b[0m", "green"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\tb", "a\\tb"),
        ("50%\r100%", "50%\\r100%"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        (b"caf\xe9".decode(errors="surrogateescape"), "caf\\xe9"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("\\x1b", "\\x1b"),
    ],
)
def test_a_line_is_shown_without_what_a_terminal_obeys(text: str, safe: str) -> None:
    assert shown(text) == safe


def test_no_character_that_is_not_drawn_is_left() -> None:
    assert shown(HOSTILE).isprintable()
    assert all(line.replace("\t", "").isprintable() for line in shown_lines(HOSTILE).split("\n"))


def test_every_character_can_be_written() -> None:
    shown("".join(map(chr, range(0x110000))), 10**9).encode()


def test_lines_stay_lines() -> None:
    assert shown_lines("one\r\ntwo\n\n\ta\u2028b\n") == "one\ntwo\n\n\ta\\u2028b\n"


@pytest.mark.parametrize("lines", [1, 3])
def test_an_endless_line_is_cut(lines: int) -> None:
    text = "\n".join(["x" * 5_000_000] * lines)
    found = shown_lines(text).split("\n")
    assert found == [f"{'x' * LINE_LIMIT}… ({5_000_000 - LINE_LIMIT} more characters)"] * lines


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("https://user:token@host/repo.git#v1", "https://user:***@host/repo.git#v1"),
        ("https://ghp_0123@github.com/a/b", "https://***@github.com/a/b"),
        ("fatal: 'https://u:p%40ss@h:8443/x' failed", "fatal: 'https://u:***@h:8443/x' failed"),
        ("HTTPS://U:P@H", "HTTPS://U:***@H"),
        ("ssh://git@host/repo", "ssh://git@host/repo"),
        ("ssh://git:secret@host/repo", "ssh://git:***@host/repo"),
        ("git@github.com:a/b", "git@github.com:a/b"),
        ("https://host/a@sha256:0123", "https://host/a@sha256:0123"),
        ("https://me@example.com:token@host/x", "https://***@host/x"),
        ("https://host:5000/a@sha256:0123", "https://host:5000/a@sha256:0123"),
        ("https://[::1]:5000/a@sha256:0123", "https://[::1]:5000/a@sha256:0123"),
        ("https://me:se/cr#e?t@host/x.git", "https://me:***@host/x.git"),
        ("https://me:p@ss/word@host/x.git", "https://me:***@host/x.git"),
        ("https://:only@host", "https://:***@host"),
        ("one https://a:b@c two https://d:e@f", "one https://a:***@c two https://d:***@f"),
        ("nothing", "nothing"),
    ],
)
def test_passwords_in_addresses_are_left_out(text: str, safe: str) -> None:
    assert without_passwords(text) == safe
    assert shown(text) == safe


@pytest.mark.parametrize("part", ["a.", "a://b:c", "a://", "://@", "a://@", "\u202e"])
def test_a_hostile_text_costs_by_its_length(part: str) -> None:
    begin = time.process_time()
    shown(part * (400_000 // len(part)) + "@")
    assert time.process_time() - begin < 3


def test_the_last_lines_of_a_program_are_shown_through_the_gate() -> None:
    error = ExplainedError("apt-get failed\x1b[2J", tail="one\x1b]0;x\x07\ntwo\u2028three", hint="try again")
    assert str(error) == "apt-get failed\\x1b[2J\n  | one\\x1b]0;x\\x07\n  | two\\u2028three\n  try again"
    assert str(ExplainedError("x")) == "x"
