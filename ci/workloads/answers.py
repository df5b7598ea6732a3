"""What registries answered, as a value that is kept in a file: asked once, read anywhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import Field, ValidationError

from ci.common.errors import FileError
from ci.common.values import Value

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Raised when an older program would misread the file.
FORMAT: Final = 1
#: Characters of a file of answers: one of a whole release has some hundred thousand.
_LONGEST: Final = 64 << 20


class Platform(Value):
    """A platform that an image is made for, and the digest of its manifest."""

    name: str
    digest: str


class Manifest(Value):
    """An image by its digest: an index of platforms, or the image of one platform."""

    index: bool
    platforms: tuple[Platform, ...]

    def digest_for(self, platform: str) -> str | None:
        """Return the digest of a platform's manifest: `linux/arm64` also names `linux/arm64/v8`."""
        names = (platform, f"{platform}/v8") if platform.endswith("/arm64") else (platform,)
        return next((one.digest for one in self.platforms if one.name in names), None)


class Entry(Value):
    """What starts in an image of a platform: its path, and the architecture of the program there."""

    path: str
    #: As Go names it; `None` where the program could not be looked at (`problem` says why).
    arch: str | None = None
    problem: str | None = None


class Newest(Value):
    """The newest tag of a repository that has an architecture, `None` where none of those looked at has it."""

    tag: str | None = None
    problem: str | None = None


class Answers(Value):
    """All answers: tags' digests, manifests by digest, and what was not answered."""

    format: int = FORMAT
    #: Reference → digest, of references without one.
    digests: dict[str, str] = Field(default_factory=dict)
    #: Digest → what is there. Content does not change under its digest.
    manifests: dict[str, Manifest] = Field(default_factory=dict)
    #: Reference → why nothing is known of it.
    problems: dict[str, str] = Field(default_factory=dict)
    #: Digest of a platform's manifest → what starts there.
    entries: dict[str, Entry] = Field(default_factory=dict)
    #: Repository and platform, separated by a space → the newest tag that has it.
    newest: dict[str, Newest] = Field(default_factory=dict)

    def digest(self, reference: str) -> str | None:
        """Return the digest of a reference: its own, or what its tag pointed to."""
        _, _, digest = reference.partition("@")
        return digest or self.digests.get(reference)

    def manifest(self, reference: str) -> Manifest | None:
        """Return what is known of a reference."""
        digest = self.digest(reference)
        return self.manifests.get(digest) if digest else None


def parse_answers(text: str, file: str = "--offline") -> Answers:
    """Read a file of answers: one that was saved, or a whole report as JSON, which has them below `answers`.

    Raises `FileError` for anything else.
    """
    if len(text) > _LONGEST:
        raise FileError(file, None, f"{len(text)} characters are too many for recorded answers (limit {_LONGEST})")
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(file, None, f"not JSON: {error}") from None
    if isinstance(found, dict) and "answers" in found:
        found = cast("Mapping[str, Any]", found)["answers"]
    if not isinstance(found, dict):
        raise FileError(file, None, "no recorded answers: give the file answers.json that workloads-record writes")
    form = cast("dict[str, Any]", found).get("format")
    if form != FORMAT:
        raise FileError(file, None, f"recorded answers of format {form!r}: this version reads format {FORMAT}")
    try:
        return Answers.model_validate(found)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise FileError(file, None, f"no recorded answers: {where}: {problem['msg']}") from None


def answers_text(answers: Answers) -> str:
    """Return answers as the file that keeps them: sorted, so that two of the same answers are the same bytes."""
    return json.dumps(answers.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
