"""Text from outside passes a gate before a person sees it."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.common.errors import CozystackTalosError, VariantError, said
from ci.common.progress import say
from ci.common.text import LONGEST_LINE, escaped, is_plain, shown, without_credentials
from ci.verify.model import Verdict

HOSTILE = {
    "\x1b[31mred": r"\x1b[31mred",
    "1.0\nok    all.checks  passed": r"1.0\nok    all.checks  passed",
    "a\rb": r"a\rb",
    "a\tb": r"a\tb",
    "a\u202egnp.exe": r"a\u202egnp.exe",
    "a\u2066b\u2069": r"a\u2066b\u2069",
    "zero\u200bwidth": r"zero\u200bwidth",
    "line\u2028end": r"line\u2028end",
    "next\x85line": r"next\x85line",
    "half\udc80": r"half\udc80",
    "\x9b31m": r"\x9b31m",
    "tag\U000e0041": r"tag\U000e0041",
    "\x00": r"\x00",
}


@pytest.mark.parametrize(("text", "line"), HOSTILE.items())
def test_a_word_from_outside_can_neither_break_a_line_nor_control_a_terminal(text: str, line: str) -> None:
    assert escaped(text) == line
    assert not is_plain(text)


@pytest.mark.parametrize("text", ["spin", "v0.21.0", "Zürich", "日本語", "a b", "ghcr.io/a/b:c@sha256:0", "🚀"])
def test_what_can_be_read_stays_as_it_is(text: str) -> None:
    assert escaped(text) == shown(text) == text
    assert is_plain(text)


def test_a_whole_text_keeps_its_lines() -> None:
    assert shown("a\n\tb\x1b[0m\r\nc") == "a\n\tb\\x1b[0m\nc"


def test_a_very_long_line_is_cut() -> None:
    assert escaped("x" * 10**6) == "x" * LONGEST_LINE + f"… ({10**6 - LONGEST_LINE} characters more)"


@pytest.mark.parametrize("part", ["x", "\t", "a\t", "\u202e"])
def test_every_line_of_a_text_is_cut_tabs_or_not(part: str) -> None:
    lines = shown(f"{part * 10**5}\nshort\n{part * 10**5}").split("\n")
    assert lines[1] == "short"
    assert [max(map(len, lines)) < LONGEST_LINE + 40, len(lines)] == [True, 3]


@pytest.mark.parametrize("part", ["a.", "a://b:c", "a://", "://@", "a://@", "\u202e"])
def test_a_hostile_text_costs_by_its_length(part: str) -> None:
    begin = time.process_time()
    escaped(part * (400_000 // len(part)) + "@")
    assert time.process_time() - begin < 3


@given(st.text())
def test_whatever_is_given_is_shown_without_controls(text: str) -> None:
    for gate in (escaped, shown):
        left = set(map(unicodedata.category, gate(text).replace("\n", "").replace("\t", "")))
        assert not left & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert "\n" not in escaped(text)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://me:secret@example.com/x.git", "https://example.com/x.git"),
        ("can't read 'https://ghp_token@github.com/a/b': 404", "can't read 'https://github.com/a/b': 404"),
        ("ssh://git@example.com/x", "ssh://example.com/x"),
        ("HTTPS://Me:p%40ss@h:8443/", "HTTPS://h:8443/"),
        ("https://u:p@ss@example.com/", "https://example.com/"),
        ("https://:onlypassword@h", "https://h"),
        ("mail me@example.com", "mail me@example.com"),
        ("ghcr.io/a/b@sha256:abc", "ghcr.io/a/b@sha256:abc"),
        ("https://h/a@b", "https://h/a@b"),
        ("https://h:5000/a@sha256:abc", "https://h:5000/a@sha256:abc"),
        ("https://[::1]:5000/a@sha256:abc", "https://[::1]:5000/a@sha256:abc"),
        ("https://me:se/cret@h/x.git", "https://h/x.git"),
        ("https://me:se#cr?et@h/x.git", "https://h/x.git"),
        ("https://me:p@ss/word@h/x.git#v1", "https://h/x.git#v1"),
    ],
)
def test_passwords_in_urls_are_taken_out(text: str, clean: str) -> None:
    assert without_credentials(text) == clean
    assert escaped(text) == clean


@pytest.mark.parametrize("text", HOSTILE)
def test_an_error_is_shown_through_the_gate(text: str) -> None:
    for error in (CozystackTalosError(f"refused: {text}"), VariantError(f"{text}.yaml", 3, text)):
        assert all(is_plain(line) for line in str(error).replace("\t", "").split("\n"))


def test_an_error_says_no_password() -> None:
    assert str(CozystackTalosError("no https://me:secret@h/x")) == "no https://h/x"
    assert said(ValueError("no https://me:secret@h/x")) == "no https://h/x"


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_check_saw_is_one_line_each(text: str) -> None:
    check = Verdict(problems=[text]).check("a.b", "A sentence.")
    assert check.evidence == (HOSTILE[text],)
    assert Verdict(evidence=[text]).check("a.b", "A sentence.").evidence == (HOSTILE[text],)
    assert Verdict(skipped=text).check("a.b", "A sentence.").evidence == (HOSTILE[text],)


def test_what_is_said_is_shown_through_the_gate(capsys: pytest.CaptureFixture[str]) -> None:
    say("a \x1b[2J\nb https://me:secret@h/x")
    assert capsys.readouterr().err == "a \\x1b[2J\nb https://h/x\n"
