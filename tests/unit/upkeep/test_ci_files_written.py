"""What `ci-files` makes of a checkout: only its own files, and no file that could not work there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from ci.common.errors import CozystackTalosError, FileError, RegistryError
from ci.execute.ci_files import write_ci_files
from ci.main import CozystackTalos
from ci.upkeep.files import Arguments
from ci.upkeep.vendors import parse_vendors

if TYPE_CHECKING:
    from collections.abc import Mapping

    import dagger

MODULE = "github.com/OWNER/cozystack-talos@v0.1.0"
PROJECT = json.dumps({"name": "cozystack-talos"})


@dataclass(frozen=True)
class Folder:
    """A directory of the engine's, as path → text."""

    files: Mapping[str, str] = field(default_factory=dict[str, str])

    async def exists(self, path: str) -> bool:
        return path in self.files

    async def glob(self, pattern: str) -> list[str]:
        return [path for path in self.files if path.endswith(pattern.removeprefix("*"))]

    def file(self, path: str) -> Text:
        return Text(self.files[path])

    def with_new_file(self, path: str, text: str) -> Folder:
        return replace(self, files={**self.files, path: text})

    def changes(self, before: Folder) -> dict[str, str]:
        return {path: text for path, text in self.files.items() if before.files.get(path) != text}


@dataclass(frozen=True)
class Text:
    """A file of the engine's."""

    text: str

    async def size(self) -> int:
        return len(self.text)

    async def contents(self) -> str:
        return self.text


async def written(
    source: Mapping[str, str], vendor: str, arguments: Arguments, own: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The changes, as path → text."""
    variants = None if own is None else Folder(own)
    made = write_ci_files(
        cast("dagger.Directory", Folder(source)),
        parse_vendors([vendor]),
        arguments,
        cast("dagger.Directory | None", variants),
    )
    return cast("dict[str, str]", await made)


async def test_the_vendors_files_are_added_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    changes = await written({"dagger.json": PROJECT, "Jenkinsfile": "old"}, "gitlab,jenkins", Arguments())
    assert list(changes) == ["Jenkinsfile", ".gitlab-ci.yml"]
    said = capsys.readouterr().err
    assert "GitLab CI: A runner with the Docker executor" in said
    assert "add --module github.com/OWNER/cozystack-talos@VERSION" in said


async def test_a_file_that_is_up_to_date_is_no_change() -> None:
    source = {"dagger.json": PROJECT}
    made = await written(source, "all", Arguments())
    assert await written({**source, **made}, "all", Arguments()) == {}


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"dagger.json": '{"name": "other"}'},
        {"dagger.json": "[]"},
        {"dagger.json": "{"},
    ],
)
async def test_another_projects_checkout_needs_the_modules_reference(source: Mapping[str, str]) -> None:
    with pytest.raises(FileError) as raised:
        await written(source, "gitlab", Arguments())
    assert str(raised.value) == (
        "--module: the checkout is not one of this project: give the module that its jobs call, such as "
        "--module github.com/OWNER/cozystack-talos@v0.1.0"
    )
    made = await written(source, "gitlab", Arguments(module=MODULE))
    assert f"./dagger call -m {MODULE} test" in made[".gitlab-ci.yml"]


async def test_the_users_own_variants_are_built_from_their_folder() -> None:
    own = {"edge.yaml": "description: x\nrole: worker\n"}
    made = await written({}, "circleci", Arguments(module=MODULE), own)
    assert "variant: [edge]" in made[".circleci/config.yml"]
    assert f"./dagger call -m {MODULE} --variants variants test" in made[".circleci/config.yml"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"vendor": ["gitlabs"]}, FileError, "--vendor: unknown vendor 'gitlabs': did you mean gitlab?"),
        (
            {"vendor": ["gitlab"], "address": "https://registry.example.com"},
            RegistryError,
            "bad address 'https://registry.example.com': write REGISTRY/PATH, in lower case, without https://",
        ),
    ],
)
async def test_a_wrong_word_is_refused_before_anything_is_read(
    arguments: dict[str, Any], error: type[CozystackTalosError], message: str
) -> None:
    module = CozystackTalos(upstream=None)
    with pytest.raises(error) as raised:
        await module.ci_files(source=cast("dagger.Directory", Folder()), **arguments)
    assert str(raised.value).startswith(message)
