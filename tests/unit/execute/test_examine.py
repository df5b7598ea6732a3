"""What is looked at, and what comes of a command's exit code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from ci.common.arch import Arch
from ci.common.errors import AssetsError, ReferenceSyntaxError, UserError
from ci.execute import examine
from ci.execute.examine import Subject
from ci.plan.expectation import Expectation
from ci.report.tables import Format

if TYPE_CHECKING:
    import dagger


@dataclass
class Ran:
    """A container whose command answers as it is told to, and that remembers what it was given."""

    code: int = 0
    stdout_: str = "out\n"
    stderr_: str = ""
    given: dict[str, Any] = field(default_factory=dict[str, Any])

    def with_mounted_file(self, path: str, content: object) -> Ran:
        self.given[path] = content
        return self

    def with_new_file(self, path: str, text: str) -> Ran:
        self.given[path] = text
        return self

    def with_exec(self, command: list[str], *, expect: object) -> Ran:
        self.given["command"] = command
        return self

    def with_mounted_directory(self, path: str, content: object, *, read_only: bool) -> Ran:
        assert read_only
        self.given[path] = content
        return self

    async def exit_code(self) -> int:
        return self.code

    async def stdout(self) -> str:
        return self.stdout_

    async def stderr(self) -> str:
        return self.stderr_


class File:
    async def name(self) -> str:
        return "metal-arm64.iso"


FILE = cast("dagger.File", File())
FOLDER = cast("dagger.Directory", object())


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    ran = Ran()

    async def tools(_: str) -> Ran:
        return ran

    monkeypatch.setattr(examine, "tools", tools)
    monkeypatch.setattr(Subject, "as_folder", lambda self: ("folder of", self.content))  # pyright: ignore
    return ran


# What is looked at


async def test_nothing_and_two_things_are_refused_with_the_flags() -> None:
    with pytest.raises(UserError, match="nothing to look at is given: give one of --assets, --image, --file"):
        await examine.subject(None, None, None, Arch.ARM64)
    flags = ("--before", "--before-image", "--before-file")
    with pytest.raises(UserError, match="--before and --before-file are given together: give one of --before, "):
        await examine.subject(FOLDER, None, FILE, Arch.ARM64, flags=flags)


async def test_a_folder_is_called_by_its_flag_and_a_file_by_its_name() -> None:
    assert await examine.subject(FOLDER, None, None, Arch.ARM64) == Subject("assets", FOLDER)
    assert await examine.subject(None, None, FILE, Arch.ARM64) == Subject("metal-arm64.iso", FILE)


async def test_an_image_that_is_no_reference_is_refused_before_anything_is_pulled() -> None:
    with pytest.raises(ReferenceSyntaxError, match="bad image reference 'installer'"):
        await examine.subject(None, "installer", None, Arch.ARM64)


# What comes of it


async def test_inspect_returns_what_was_printed_or_raises_what_was_complained(ran: Ran) -> None:
    assert await examine.inspect(Subject("a.iso", FILE), Format.TEXT) == "out\n"
    assert ran.given["/in/it"] is FILE
    assert ran.given["command"][-4:] == ["--name", "a.iso", "--format", "text"]
    ran.code, ran.stderr_ = 2, "error: a.iso: byte 7: cut short\n"
    with pytest.raises(AssetsError, match=r"^a\.iso: byte 7: cut short\Z"):
        await examine.inspect(Subject("a.iso", FILE), Format.TEXT)


@pytest.mark.parametrize("fail", [False, True])
async def test_a_difference_is_an_error_where_it_is_to_be_one(ran: Ran, fail: bool) -> None:
    both = Subject("old", FILE), Subject("new", FILE)
    assert await examine.diff(*both, Format.JSON, fail_on_change=fail) == "out\n"
    assert ("--fail-on-change" in ran.given["command"]) is fail
    ran.code = 1
    with pytest.raises(AssetsError, match=r"^out\Z"):
        await examine.diff(*both, Format.JSON, fail_on_change=fail)
    ran.code, ran.stdout_, ran.stderr_ = 2, "", "error: old: cut short\nerror: new: byte 7: error: odd\n"
    with pytest.raises(AssetsError, match=r"^old: cut short\nnew: byte 7: error: odd\Z"):
        await examine.diff(*both, Format.JSON, fail_on_change=fail)


async def test_a_failed_check_is_an_error_with_the_whole_report(ran: Ran) -> None:
    assert await examine.verify(Subject("assets", FILE), None, Format.TEXT) == "out\n"
    assert "/in/expected.json" not in ran.given
    ran.code = 1
    with pytest.raises(AssetsError, match=r"^assets: a check failed:\nout\Z"):
        await examine.verify(Subject("assets", FILE), Expectation(arch="arm64"), Format.TEXT)
    with pytest.raises(AssetsError, match=r"^out\Z"):
        await examine.verify(Subject("assets", FILE), None, Format.JSON)
    assert '"arch": "arm64"' in ran.given["/in/expected.json"]


async def test_with_a_key_what_cosign_says_of_the_signatures_is_part_of_the_checks(
    ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check(folder: object, key: object) -> dict[str, str | None]:
        assert (folder, key) == (("folder of", FOLDER), FILE)
        return {"boot/vmlinuz": "invalid signature"}

    monkeypatch.setattr(examine, "check_signatures", check)
    assert await examine.verify(Subject("assets", FOLDER), None, Format.TEXT, FILE) == "out\n"
    assert ran.given["/in/signed.json"] == '{"boot/vmlinuz": "invalid signature"}'
    assert ran.given["command"][-4:] == ["--signed", "/in/signed.json", "--format", "text"]


@pytest.mark.parametrize(
    ("name", "said", "told"),
    [
        ("assets", "/in/assets: holds no files: give", "assets: holds no files: give"),
        ("README.md", "/in/assets: holds no boot assets", "README.md: holds no boot assets"),
        ("assets", "/in/assets/talos/arm64: holds no files", "assets/talos/arm64: holds no files"),
        ("assets", "/in/expected.json: archs: no such key", "expected.json: archs: no such key"),
        ("assets", "x.tar: usr/in/assets/y is cut short", "x.tar: usr/in/assets/y is cut short"),
    ],
)
async def test_an_error_names_what_the_user_gave_and_no_path_of_the_container(
    ran: Ran, name: str, said: str, told: str
) -> None:
    ran.code, ran.stdout_, ran.stderr_ = 2, "", f"error: {said}\n"
    with pytest.raises(AssetsError) as raised:
        await examine.verify(Subject(name, FILE), None, Format.TEXT)
    assert str(raised.value) == told
