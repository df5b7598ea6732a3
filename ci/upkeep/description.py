"""What the vendors' files are made from: the outputs of a release, and the version of everything that runs there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints

from ci.common import yamltext
from ci.common.arch import Arch
from ci.common.errors import FileError, OutputError, ReferenceSyntaxError
from ci.common.references import parse_reference
from ci.common.values import Value
from ci.plan.outputs import parse_outputs

DESCRIPTION: Final = Path(__file__).parent / "description.yaml"

#: Repository of Dagger's engine; an engine's tag is its version.
ENGINE: Final = "registry.dagger.io/engine"


def _pinned(text: str) -> str:
    try:
        reference = parse_reference(text)
    except ReferenceSyntaxError as error:
        raise ValueError(str(error)) from None
    if reference.tag is None or reference.digest is None:
        raise ValueError(f"{text}: an image that runs in CI has both tag and digest")
    return text


def _outputs(names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        parse_outputs(names)
    except OutputError as error:
        raise ValueError(str(error)) from None
    return names


PinnedImage = Annotated[str, AfterValidator(_pinned)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]


class Dagger(Value):
    """The version of Dagger: command line and engine go together."""

    version: Version
    #: SHA-256 of the command line's archive, by the machine's architecture.
    cli: dict[Arch, Sha256]
    #: Digest of the engine's image at that version.
    engine_digest: Digest
    #: The base image of the engine's Python SDK, which it pulls when it loads a module.
    sdk: PinnedImage

    @property
    def engine(self) -> str:
        """The engine's image, by tag and digest."""
        return f"{ENGINE}:v{self.version}@{self.engine_digest}"


class Action(Value):
    """A GitHub action, by commit; the tag is for the reader."""

    name: str
    commit: Commit
    tag: str

    def __str__(self) -> str:
        return f"{self.name}@{self.commit} # {self.tag}"


class Nodes(Value):
    """Kubernetes nodes with an engine."""

    label: str
    #: Folder of the engine's socket.
    engine_folder: str


class Description(Value):
    """All that differs between this project's CI files and those of any other Dagger module."""

    outputs: Annotated[tuple[str, ...], AfterValidator(_outputs)]
    dagger: Dagger
    runner: Arch
    images: dict[str, PinnedImage]
    actions: dict[str, Action]
    nodes: Nodes
    machines: dict[str, str]


def parse_description(text: str, file: str = DESCRIPTION.name) -> Description:
    """Read a description; raises `FileError` with file, line and reason."""
    document = yamltext.parse_yaml(text, file, FileError)
    description = yamltext.validate(Description, document, FileError)
    if description.runner not in description.dagger.cli:
        reason = f"dagger.cli has no checksum for {description.runner}, which the runner is"
        raise FileError(file, document.line(("runner",)), reason)
    return description
