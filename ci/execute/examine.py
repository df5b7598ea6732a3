"""Looking at assets of any origin: a folder, a file or an image, read and checked in containers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import dagger
from dagger import dag

from ci.common.errors import AssetsError, UserError
from ci.common.references import parse_reference
from ci.execute import commands
from ci.execute.sdk import with_image
from ci.execute.signed_files import check_signatures
from ci.execute.tools import tools
from ci.report.tables import Format

if TYPE_CHECKING:
    from ci.common.arch import Arch
    from ci.plan.expectation import Expectation

#: The arguments that a subject is given by.
FLAGS: Final = ("--assets", "--image", "--file")

_IN: Final = "/in"


@dataclass(frozen=True)
class Subject:
    """What is looked at, and what it is called."""

    name: str
    content: dagger.Directory | dagger.File

    def mounted(self, container: dagger.Container, path: str) -> dagger.Container:
        """Return a container with the subject at a path."""
        if isinstance(self.content, dagger.Directory):
            return container.with_mounted_directory(path, self.content, read_only=True)
        return container.with_mounted_file(path, self.content)

    def as_folder(self) -> dagger.Directory:
        """Return a folder with the subject in it, where it is not one itself."""
        if isinstance(self.content, dagger.Directory):
            return self.content
        return dag.directory().with_file(self.name.replace("/", "_"), self.content)


async def subject(
    assets: dagger.Directory | None,
    image: str | None,
    file: dagger.File | None,
    arch: Arch,
    *,
    flags: tuple[str, str, str] = FLAGS,
) -> Subject:
    """Return the one that is given of three; `flags` is what errors call them.

    Raises `UserError` where none or several are given, `ReferenceSyntaxError` where the image's name is invalid.
    """
    given = [flag for flag, value in zip(flags, (assets, image, file), strict=True) if value is not None]
    if len(given) != 1:
        what = f"{' and '.join(given)} are given together" if given else "nothing to look at is given"
        raise UserError(f"{what}: give one of {', '.join(flags)}")
    if assets is not None:
        return Subject(flags[0].removeprefix("--"), assets)
    if file is not None:
        return Subject(await file.name(), file)
    assert image is not None
    parse_reference(image)
    return Subject(image, with_image(dag.container(platform=dagger.Platform(arch.platform)), image).as_tarball())


async def inspect(subject: Subject, form: Format, *, whole: bool = False) -> str:
    """Return what is inside; a folder of many files is one line of the text, unless it is to be whole."""
    run = subject.mounted(await tools("ci.steps.inspect"), f"{_IN}/it").with_exec(
        commands.inspect(f"{_IN}/it", subject.name, form.value, whole=whole), expect=dagger.ReturnType.ANY
    )
    if await run.exit_code() != 0:
        raise AssetsError(complaint(await run.stderr()))
    return await run.stdout()


async def diff(before: Subject, after: Subject, form: Format, *, fail_on_change: bool) -> str:
    """Return what changed; raises `AssetsError` with it where anything did, and that is to fail."""
    names = (before.name, after.name)
    command = commands.diff(f"{_IN}/before", f"{_IN}/after", names, form.value, fail_on_change=fail_on_change)
    container = before.mounted(await tools("ci.steps.inspect"), f"{_IN}/before")
    run = after.mounted(container, f"{_IN}/after").with_exec(command, expect=dagger.ReturnType.ANY)
    if await run.exit_code() != 0:
        raise AssetsError((await run.stdout() + complaint(await run.stderr())).rstrip("\n"))
    return await run.stdout()


async def verify(
    subject: Subject, expectation: Expectation | None, form: Format, key: dagger.File | None = None
) -> str:
    """Return how every check went, with a key those of signatures too; raises `AssetsError` with it if one failed."""
    container = (await tools("ci.steps.verify")).with_mounted_directory(
        f"{_IN}/assets", subject.as_folder(), read_only=True
    )
    expected = f"{_IN}/expected.json" if expectation else None
    if expectation and expected:
        text = json.dumps(expectation.model_dump(mode="json"), sort_keys=True)
        container = container.with_new_file(expected, text)
    signed = f"{_IN}/signed.json" if key is not None else None
    if key is not None and signed:
        answers = await check_signatures(subject.as_folder(), key)
        container = container.with_new_file(signed, json.dumps(answers, sort_keys=True))
    run = container.with_exec(
        commands.verify(f"{_IN}/assets", expected, form.value, signed), expect=dagger.ReturnType.ANY
    )
    code, told = await run.exit_code(), await run.stdout()
    if code not in commands.CHECKED:
        raise AssetsError(told + complaint(await run.stderr(), (f"{_IN}/assets", subject.name)))
    if code != 0:
        # Of the other forms an error is the document alone.
        title = f"{subject.name}: a check failed:\n" if form is Format.TEXT else ""
        raise AssetsError(title + (told + await run.stderr()).rstrip("\n"))
    return told


def complaint(stderr: str, *names: tuple[str, str]) -> str:
    """Return what a command complained of, as it is to be shown: an error says itself that it is one.

    `names` are paths in the container, and what the user calls them.
    """
    text = re.sub("^error: ", "", stderr, flags=re.MULTILINE)
    for path, name in (*names, (f"{_IN}/", "")):
        # Where a path begins: a folder inside of assets may be called so too.
        text = name.join(re.split(rf"(?<![\w./-]){re.escape(path)}", text))
    return text.rstrip("\n")
