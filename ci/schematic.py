"""The Image Factory's name for what a plan carries: its schematic, and the schematic's id.

Sidero's Image Factory builds images of official extensions, kernel arguments and META values. A schematic is such a
choice as YAML; its id is the SHA-256 of the YAML as Go's yaml package (go.yaml.in/yaml) writes it, fields in the order
of image-factory's `pkg/schematic`, empty ones left out. Known ids from there are in the tests.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final, cast

import yaml

from ci.tables import Format

if TYPE_CHECKING:
    from ci.extensions import PlannedExtension
    from ci.plan import Plan, PlannedOverlay

FACTORY: Final = "factory.talos.dev"

#: Where official extensions come from; the factory names them without it.
_OFFICIAL: Final = "ghcr.io/"
_OFFICIAL_OWNER: Final = "siderolabs/"

#: Texts that would be read as something else, by readers of YAML 1.2 or 1.1: Go puts them in double quotes.
_AMBIGUOUS: Final = re.compile(
    r"~|null|Null|NULL||<<|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    r"|true|True|TRUE|false|False|FALSE|[yYnN]|[yY]es|YES|[oO]n|ON|[nN]o|NO|[oO]ff|OFF"
    r"|[-+]?(?:0b_*[01][01_]*|0o_*[0-7][0-7_]*|0[xX]_*[0-9a-fA-F][0-9a-fA-F_]*)"
    r"|[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9][0-9_]*)?"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ]+[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?\s*(?:Z|[-+][0-9:]+)?)?"
)


def schematic(plan: Plan) -> dict[str, Any]:
    """Return the schematic of a plan: extensions in the plan's order, kernel arguments and META values of its outputs.

    Extensions that are not Sidero Labs' own have no name there, and are left out.
    """
    customization: dict[str, Any] = {}
    if arguments := _of_outputs(plan, "extra_kernel_args"):
        customization["extraKernelArgs"] = arguments
    if meta := _of_outputs(plan, "meta"):
        customization["meta"] = [{"key": one.key, "value": one.value} for one in meta]
    if names := [name for entry in plan.extensions if (name := official_name(entry))]:
        customization["systemExtensions"] = {"officialExtensions": names}
    overlay = plan.overlay and official_name(plan.overlay)
    if not plan.overlay or not overlay:
        return {"customization": customization}
    options = {"options": plan.overlay.options} if plan.overlay.options else {}
    return {"overlay": {"image": overlay, "name": plan.overlay.name, **options}, "customization": customization}


def _of_outputs(plan: Plan, field: str) -> list[Any]:
    return list(dict.fromkeys(one for output in plan.outputs for one in getattr(output, field)))


def official_name(entry: PlannedExtension | PlannedOverlay) -> str | None:
    """Return an extension's name at the factory, such as `siderolabs/spin`, `None` for another's image."""
    name = entry.reference.removeprefix(_OFFICIAL).split(":", 1)[0]
    return name if entry.reference.startswith(_OFFICIAL + _OFFICIAL_OWNER) else None


def canonical(document: dict[str, Any]) -> str:
    """Return a schematic's YAML, byte for byte as the factory has it."""
    text = yaml.dump(document, Dumper=_GoLike, sort_keys=False, allow_unicode=True, width=float("inf"), indent=4)
    return text.removesuffix("...\n")  # behind a block that keeps its empty lines


def schematic_id(document: dict[str, Any]) -> str:
    """Return a schematic's id, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(document).encode()).hexdigest()


def schematic_as(plan: Plan, form: Format) -> str:
    """Return a plan's schematic: as text with its id and notes, as YAML whose SHA-256 is the id, or as JSON."""
    document = schematic(plan)
    if form is Format.YAML:
        return canonical(document)
    carried = [*plan.extensions, *([plan.overlay] if plan.overlay else [])]
    own = [entry.pinned for entry in carried if official_name(entry) is None]
    number = schematic_id(document)
    if form is Format.JSON:
        return json.dumps({"id": number, "schematic": document, "leftOut": own}, indent=2, ensure_ascii=False) + "\n"
    lines = [
        f"# schematic {number}",
        f"# {plan.variant} for {plan.arch.value}, at the Image Factory once the schematic was posted there:",
        f"# {FACTORY}/metal-installer/{number}:{plan.talos_version}",
        "# The factory takes each extension in its own version for that Talos version.",
        *(f"# left out, since the factory does not have it: {reference}" for reference in own),
    ]
    return "\n".join([*lines, canonical(document)])


_TEXT: Final = "tag:yaml.org,2002:str"


class _GoLike(yaml.SafeDumper):
    """Writes what Go's yaml package writes: lists are indented, texts of several lines are blocks."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        """Indent by four, but what stands behind a dash, and the lines of a block, by two."""
        super().increase_indent(flow, indentless=False)
        block = isinstance(self.event, yaml.ScalarEvent)
        if block or (self.sequence_context and isinstance(self.event, yaml.MappingStartEvent)):
            self.indent = (self.indent or 0) - 2

    def analyze_scalar(self, scalar: str) -> Any:
        """Let lines have tabs, and blanks at their ends."""
        analysis = super().analyze_scalar(scalar)
        analysis.allow_block = analysis.multiline
        return analysis

    def determine_block_hints(self, text: str) -> str:
        """Say how far a block is indented where its own blanks would hide it."""
        ends = "" if text.endswith("\n") else "-"
        hidden = text.lstrip("\n")[:1] in (" ", "\t")
        return ("2" if hidden else "") + ("+" if text.endswith("\n\n") else ends)

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Choose a text's style as Go does."""
        style = None
        if "\n" in text:
            style = "|" if text.strip() and "\r" not in text else '"'
        elif _AMBIGUOUS.fullmatch(text) or max(text, default="") > "\uffff":
            style = '"'
        return yaml.ScalarNode(_TEXT, text, style=style)

    def represent_number(self, number: int) -> yaml.ScalarNode:
        """Write a number's digits."""
        return yaml.ScalarNode(_TEXT, str(number))

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        """Leave it to `represent_text` which text needs quotes."""
        if kind is yaml.ScalarNode:
            return _TEXT
        return cast("str", super().resolve(kind, value, implicit))  # type: ignore[reportUnknownMemberType]


_GoLike.add_representer(str, _GoLike.represent_text)
_GoLike.add_representer(int, _GoLike.represent_number)
