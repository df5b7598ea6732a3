"""The Image Factory's name for what a plan carries: its schematic, and the schematic's id.

Sidero's Image Factory builds images of official extensions, kernel arguments and META values. A schematic is such a
choice as YAML; its id is the SHA-256 of the YAML as Go's yaml package (go.yaml.in/yaml) writes it, fields in the order
of image-factory's `pkg/schematic`, empty ones left out. Known ids from there are in the tests.
"""

from __future__ import annotations

import hashlib
import json
import re
from decimal import Decimal
from functools import cmp_to_key
from itertools import takewhile
from math import isinf
from typing import TYPE_CHECKING, Any, Final, cast

import yaml

from ci.report.tables import Format

if TYPE_CHECKING:
    from ci.plan.model import Plan, PlannedOverlay
    from ci.resolve.model import PlannedExtension

FACTORY: Final = "factory.talos.dev"

#: Where official extensions come from; the factory names them without it.
_OFFICIAL: Final = "ghcr.io/"
_OFFICIAL_OWNER: Final = "siderolabs/"

#: Texts that would be read as something else, by readers of YAML 1.2 or 1.1: Go puts them in double quotes.
_AMBIGUOUS: Final = re.compile(
    r"~|null|Null|NULL||<<|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    r"|true|True|TRUE|false|False|FALSE|[yYnN]|[yY]es|YES|[oO]n|ON|[nN]o|NO|[oO]ff|OFF"
    r"|\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ]+[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?\s*(?:Z|[-+][0-9:]+)?)?"
)
#: Numbers as well, with low lines anywhere behind the sign or the first digit.
_NUMBER: Final = re.compile(
    r"[-+]?(?:0[bB][01]+|0[oO][0-7]+|0[xX][0-9a-fA-F]+"
    r"|(?P<decimal>(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?))"
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
    overlay = document.get("overlay", {})
    if "options" in overlay:
        # A map to the factory, which keeps no order of its own; everything else there is a struct, which does.
        document = {**document, "overlay": {**overlay, "options": _sorted(overlay["options"])}}
    text = yaml.dump(document, Dumper=_GoLike, sort_keys=False, allow_unicode=True, width=float("inf"), indent=_INDENT)
    # The mark of a document's end, behind a block that keeps its empty lines; a last text may end so too.
    return text[: -len("...\n")] if text.endswith("\n...\n") else text


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
    image, signed = "metal-installer", []
    if plan.secure_boot:
        image = "metal-installer-secureboot"
        signed = ["# The factory signs it with its own keys: a node that only has yours enrolled does not boot it."]
    lines = [
        f"# schematic {number}",
        f"# {plan.variant} for {plan.arch.value}, at the Image Factory once the schematic was posted there:",
        f"# {FACTORY}/{image}/{number}:{plan.talos_version}",
        *signed,
        "# The factory takes each extension in its own version for that Talos version.",
        *(f"# left out, since the factory does not have it: {reference}" for reference in own),
    ]
    return "\n".join([*lines, canonical(document)])


def _sorted(value: Any) -> Any:
    """Put the keys of all mappings in `value` into the order in which Go writes a map."""
    if isinstance(value, dict):
        mapping = cast("dict[str, Any]", value)
        return {key: _sorted(mapping[key]) for key in sorted(mapping, key=cmp_to_key(_compare))}
    if isinstance(value, list):
        return [_sorted(one) for one in cast("list[Any]", value)]
    return value


def _compare(left: str, right: str) -> int:
    """Return below zero where `left` comes first: numbers in keys count as numbers, `c2` is before `c10`."""
    at = next((index for index, (one, other) in enumerate(zip(left, right, strict=False)) if one != other), None)
    if at is None:
        return len(left) - len(right)
    one, other = left[at], right[at]
    if one.isalpha() and other.isalpha():
        return ord(one) - ord(other)
    shared = _number(left[:at][::-1])
    if one.isalpha() or other.isalpha():
        # Behind a number that both have, the letter comes first; elsewhere it comes last.
        return -1 if one.isalpha() == bool(shared) else 1
    # Noughts that lead count for nothing; those inside a number make it the greater.
    lead = "1" if "0" in (one, other) and shared.strip("0") else ""
    ours, theirs = _number(left[at:]), _number(right[at:])
    rank = (int(lead + ours or "0"), len(ours), one)
    return -1 if rank < (int(lead + theirs or "0"), len(theirs), other) else 1


def _number(text: str) -> str:
    return "".join(takewhile(str.isdecimal, text))


def _is_ambiguous(text: str) -> bool:
    if _AMBIGUOUS.fullmatch(text):
        return True
    number = _NUMBER.fullmatch(text.replace("_", "")) if text[:1] in {"+", "-", *"0123456789"} else None
    # What is too great for a float, such as a commit's 5e3356, stays a text.
    return number is not None and not (number["decimal"] and isinf(float(number["decimal"])))


_TEXT: Final = "tag:yaml.org,2002:str"
#: Go's own; only what stands behind a dash has two.
_INDENT: Final = 4


class _GoLike(yaml.SafeDumper):
    """Write what Go's yaml package writes: lists are indented, texts of several lines are blocks."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        """Indent what stands behind a dash by two, everything else to the next multiple of four."""
        outer = self.indent
        super().increase_indent(flow, indentless=False)
        if outer is not None:
            self.indent = outer + 2 if self.sequence_context else (outer // _INDENT + 1) * _INDENT

    def analyze_scalar(self, scalar: str) -> Any:
        """Let lines have tabs, and blanks at their ends."""
        analysis = super().analyze_scalar(scalar)
        analysis.allow_block = analysis.multiline
        return analysis

    def determine_block_hints(self, text: str) -> str:
        """Say how far a block is indented where its own blanks would hide it."""
        ends = "" if text.endswith("\n") else "-"
        hidden = text.lstrip("\n")[:1] in (" ", "\t")
        width = (self.indent or 0) - (self.indents[-1] or 0)
        return (str(width) if hidden else "") + ("+" if text.endswith("\n\n") else ends)

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Choose a text's style as Go does."""
        style = None
        if "\n" in text:
            style = "|" if text.strip() and "\r" not in text else '"'
        elif _is_ambiguous(text) or "\x85" in text or max(text, default="") > "\uffff":
            style = '"'
        return yaml.ScalarNode(_TEXT, text, style=style)

    def represent_number(self, number: int) -> yaml.ScalarNode:
        """Write a number's digits; one beyond 64 bits is a float to Go."""
        fits = -(2**63) <= number < 2**64
        return yaml.ScalarNode(_TEXT, str(number)) if fits else self.represent_fraction(float(number))

    def represent_fraction(self, number: float) -> yaml.ScalarNode:
        """Write a float with the fewest digits that tell it, from a million on and below 0.0001 with an exponent."""
        digits = Decimal(repr(number)).normalize()
        if not digits.is_finite():
            text = ".nan" if digits.is_nan() else "-.inf" if digits.is_signed() else ".inf"
        elif digits.is_zero() or -4 <= digits.adjusted() < 6:
            text = f"{digits:f}"
        else:
            mantissa, _, exponent = f"{digits:e}".partition("e")
            text = f"{mantissa}e{int(exponent):+03d}"
        return yaml.ScalarNode(_TEXT, text)

    def represent_word(self, word: bool | None) -> yaml.ScalarNode:
        """Write `true`, `false` or `null`."""
        return yaml.ScalarNode(_TEXT, json.dumps(word))

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        """Leave it to `represent_text` which text needs quotes."""
        if kind is yaml.ScalarNode:
            return _TEXT
        return cast("str", super().resolve(kind, value, implicit))  # type: ignore[reportUnknownMemberType]


_GoLike.add_representer(str, _GoLike.represent_text)
_GoLike.add_representer(int, _GoLike.represent_number)
_GoLike.add_representer(float, _GoLike.represent_fraction)
_GoLike.add_representer(bool, _GoLike.represent_word)
_GoLike.add_representer(type(None), _GoLike.represent_word)
