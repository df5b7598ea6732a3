"""What the vendors' files are made from: the outputs of a release, and the version of everything that runs there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, StringConstraints

from ci.common import yamltext
from ci.common.arch import Arch
from ci.common.errors import CiFilesError, OutputError, ReferenceSyntaxError
from ci.common.references import parse_reference
from ci.common.values import Value
from ci.plan.outputs import parse_outputs

if TYPE_CHECKING:
    from collections.abc import Mapping

DESCRIPTION: Final = Path(__file__).parent / "description.yaml"


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
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]


class Dagger(Value):
    """The version of Dagger: command line and engine go together."""

    version: Version
    #: SHA-256 of the command line's archive, by the machine's architecture.
    cli: dict[Arch, Sha256]
    engine: PinnedImage
    #: The base image of the engine's Python SDK, which it pulls when it loads a module.
    sdk: PinnedImage


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
    """Read a description; raises `CiFilesError` with file, line and reason."""
    document = yamltext.parse_yaml(text, file, CiFilesError)
    description = yamltext.validate(Description, document, CiFilesError)
    dagger = description.dagger
    if parse_reference(dagger.engine).tag != f"v{dagger.version}":
        reason = f"the engine {dagger.engine} is not of version {dagger.version}: engine and command line go together"
        raise CiFilesError(file, document.line(("dagger", "engine")), reason)
    if description.runner not in dagger.cli:
        reason = f"dagger.cli has no checksum for {description.runner}, which the runner is"
        raise CiFilesError(file, document.line(("runner",)), reason)
    return description


def names(description: Description, variants: tuple[str, ...]) -> Mapping[str, str]:
    """Return what a template's `%%{name}` stands for."""
    dagger = description.dagger
    archive = f"dagger_v{dagger.version}_linux_{description.runner}.tar.gz"
    return {
        "header": "Made by `dagger call ci-files` from ci/upkeep/: edit the template or the description there.",
        "build": f"build --outputs {','.join(description.outputs)} --variant",
        "variants": ", ".join(variants),
        "variants_quoted": ", ".join(f'"{name}"' for name in variants),
        "variants_single_quoted": ", ".join(f"'{name}'" for name in variants),
        "variants_azure": ", ".join(f"{name.replace('-', '_')}: {{VARIANT: {name}}}" for name in variants),
        "variants_words": " ".join(variants),
        "dagger_version": dagger.version,
        "dagger_engine": dagger.engine,
        "dagger_archive": archive,
        "dagger_url": f"https://dl.dagger.io/dagger/releases/{dagger.version}/{archive}",
        "dagger_sha256": dagger.cli[description.runner],
        "node_label": description.nodes.label,
        "engine_folder": description.nodes.engine_folder,
        **{f"image_{name}": image for name, image in description.images.items()},
        **{f"action_{name}": str(action) for name, action in description.actions.items()},
        **{f"machine_{name}": machine for name, machine in description.machines.items()},
    }
