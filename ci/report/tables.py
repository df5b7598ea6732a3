"""The texts that people read: the table of variants, the plan."""

from __future__ import annotations

import io
import textwrap
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ci.common.documents import json_text, yaml_text
from ci.common.errors import OutputError, suggest
from ci.common.text import shown
from ci.plan import profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ci.load.variant import Configuration, Variant, Variants
    from ci.plan.model import Plan, PlannedOutput, PlannedOverlay

#: Columns of text where nobody says how wide the reader's window is.
WIDTH = 80


class Format(StrEnum):
    """How a plan is printed."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    #: A page; only what names it among its formats has one.
    HTML = "html"


#: The formats that everything has.
FORMATS: Final = (Format.TEXT, Format.JSON, Format.YAML)


def render(*parts: RenderableType, width: int = WIDTH) -> str:
    """Return the parts as plain text, without colour and without spaces at the lines' ends."""
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        for part in parts:
            # Text keeps its lines: a reference that is broken in two can't be copied, nor found by searching.
            console.print(part, soft_wrap=isinstance(part, str | Text), markup=False, highlight=False)
    return shown("\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n")


def wrapped(text: str, indent: int = 0, first: str = "", columns: int = WIDTH) -> str:
    """Return a text in lines of at most `columns`; a word that is longer, such as a reference, is never broken.

    `first` is what the first line begins with, `indent` the columns that the others leave free.
    """
    return textwrap.fill(
        text,
        columns,
        initial_indent=first,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def grid(*columns: str) -> Table:
    """Return an empty table with these headings, in the house's style."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in columns:
        table.add_column(heading, overflow="fold")
    return table


def variants_table(variants: Variants) -> str:
    """Return the variants with role, extensions and the configuration that a node needs, as text."""
    return render("\n\n".join(map(_variant, variants)))


def _variant(variant: Variant) -> str:
    spec = variant.spec
    also = f" (also {', '.join(spec.aliases)})" if spec.aliases else ""
    changes = [f"+ {entry.name}" for entry in spec.extensions.add]
    changes += [f"- {entry.name}" for entry in spec.extensions.drop]
    needs = list(configuration_lines(spec.configuration)) or ["nothing"]
    rows = (
        ("for", spec.description),
        ("role", spec.role),
        ("extensions", ", ".join(["CozyStack's own", *changes])),
        *zip(("a node needs", *[""] * len(needs)), needs, strict=False),
    )
    return f"{variant.name}{also}\n{textwrap.indent(_listed(rows, WIDTH - 2), '  ')}"


def configuration_lines(configuration: Configuration) -> Iterator[str]:
    """Yield what a node has to be configured with, one line each."""
    for module in configuration.kernel_modules:
        parameters = f" ({' '.join(module.parameters)})" if module.parameters else ""
        yield f"kernel module {module.name}{parameters}"
    for service in configuration.extension_services:
        required = [variable.name for variable in service.environment if variable.required]
        needs = f" with {', '.join(required)}" if required else ""
        yield f"ExtensionServiceConfig {service.name}{needs}"
    for runtime in configuration.runtime_classes:
        yield f"RuntimeClass {runtime.name} (handler {runtime.handler})"


def parse_format(text: str, allowed: Iterable[Format] = FORMATS) -> Format:
    """Read one of the formats; raises `OutputError` for anything else."""
    names = [form.value for form in allowed]
    if text not in names:
        raise OutputError(f"unknown format {text!r}: {suggest(text, names)}")
    return Format(text)


def plan_as(plan: Plan, form: Format) -> str:
    """Return the plan in a format; JSON and YAML carry the imager profiles below `profiles`."""
    if form is Format.TEXT:
        return plan_text(plan)
    data: dict[str, Any] = plan.model_dump(mode="json")
    data["profiles"] = profile.profiles(plan)
    return document_as(data, form)


def document_as(document: dict[str, Any], form: Format) -> str:
    """Return a document as JSON or YAML; the format `text` has a separate writer for each document."""
    return yaml_text(document, WIDTH) if form is Format.YAML else json_text(document)


def plan_summary(plan: Plan) -> str:
    """Return what is about to be built, in three lines, and what of it was never tried."""
    names = ", ".join(entry.name for entry in plan.extensions)
    return (
        f"{plan.variant} for {plan.arch.value}: Talos {plan.talos_version}, plan {plan.id[:12]}\n"
        + wrapped(names or "none", 4, "  extensions: ")
        + "\n"
        + wrapped(", ".join(output.path for output in plan.outputs), 4, "  outputs: ")
        + "\n"
        + "".join(wrapped(f"CAUTION: {caveat}", 4, "  ") + "\n" for caveat in plan.caveats)
    )


def _caveats(plan: Plan) -> Iterator[str]:
    for caveat in plan.caveats:
        yield wrapped(f"CAUTION: {caveat}", 2)
        yield ""


def plan_text(plan: Plan) -> str:
    """Return the plan as text: what would be built and why, and the profiles that the imager gets."""
    parts: list[RenderableType] = []
    if plan.stand_in:
        parts += [
            wrapped("STAND-IN: upstream's images are stand-ins from the lab; what is built of them boots no real node"),
            "",
        ]
    parts += [_head(plan), "", *_caveats(plan), _extensions(plan), ""]
    if plan.dropped:
        parts += [_dropped(plan), ""]
    parts += [_outputs(plan), *_notes(plan), "", _images(plan)]
    for name, document in profile.profiles(plan).items():
        parts += ["", f"imager profile of {name}:", _indented(profile.render(document))]
    return render(*parts)


def _head(plan: Plan) -> str:
    origin = plan.origin
    commit = f"(commit {origin.commit})" if origin.commit else ""
    return _listed(
        (
            ("variant", f"{plan.variant}: {plan.description}"),
            ("role", plan.role),
            ("architecture", plan.arch.value),
            ("Talos", plan.talos_version),
            ("CozyStack", " ".join(part for part in (origin.where, origin.release, commit) if part)),
            *([("secure boot", f"certificate sha256:{plan.secure_boot.certificate}")] if plan.secure_boot else []),
            ("timestamps", f"{plan.source_date.epoch} ({plan.source_date.source})"),
            ("plan", plan.id),
        )
    )


def _images(plan: Plan) -> str:
    catalog = plan.catalog.pinned if plan.catalog else "not asked: the variant takes nothing from it"
    rows = (
        ("imager", plan.imager.pinned),
        ("installer base", plan.installer_base.pinned),
        ("catalog", catalog),
        *((entry.name, entry.pinned) for entry in plan.extensions),
        *([("overlay", _overlay_text(plan.overlay))] if plan.overlay else []),
    )
    # A reference is on a separate line: one that is broken in two can't be copied, nor found by searching.
    return "\n".join(f"{label}\n{wrapped(text, 2, '  ')}" for label, text in rows)


def _overlay_text(overlay: PlannedOverlay) -> str:
    platforms = dict.fromkeys((overlay.host_platform, overlay.platform))
    return f"{overlay.pinned} ({overlay.name}; {' and '.join(platforms)})"


def _listed(rows: Sequence[tuple[str, str]], columns: int = WIDTH) -> str:
    width = max(len(label) for label, _ in rows)
    return "\n".join(wrapped(text, width + 2, f"{label:<{width}}  ", columns) for label, text in rows)


def _extensions(plan: Plan) -> Table:
    table = grid("extension", "version", "source", "why")
    for entry in plan.extensions:
        table.add_row(entry.name, entry.version, entry.source.value, Text(entry.reason))
    return table


def _dropped(plan: Plan) -> Table:
    table = grid("left out", "by", "why")
    for entry in plan.dropped:
        table.add_row(entry.name, entry.by.value, Text(entry.reason))
    return table


def _outputs(plan: Plan) -> Table:
    table = grid("output", "file", "initramfs", "privileged")
    for output in plan.outputs:
        table.add_row(output.name, output.path, output.initramfs.value, "yes" if output.privileged else "no")
    return table


def _notes(plan: Plan) -> Iterator[str]:
    for output in plan.outputs:
        for note in _notes_of(output):
            yield wrapped(f"{output.name}: {note}", 2)


def _notes_of(output: PlannedOutput) -> Iterator[str]:
    if output.privileged:
        yield f"privileged, because {output.privileged}"
    if output.disk_sector_size:
        yield f"for disks with sectors of {output.disk_sector_size} bytes, and no others"
    if output.extra_kernel_args:
        yield f"extra kernel arguments {' '.join(output.extra_kernel_args)}"
    yield from (f"META {meta.key:#x} = {meta.value}" for meta in output.meta)
    yield from output.notes


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
