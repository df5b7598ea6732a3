"""An inspection as text for a person, and as JSON or YAML for a program."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from ci.common.documents import json_text, yaml_text
from ci.common.text import escaped
from ci.inspect.models import (
    AnyFacts,
    ArchiveFacts,
    CmdlineFacts,
    DataFacts,
    DiskFacts,
    EfiFacts,
    ElfFacts,
    Entry,
    ExtensionFacts,
    FolderFacts,
    ImageFacts,
    InitramfsFacts,
    IsoFacts,
    KernelFacts,
    MenuFacts,
    SquashfsFacts,
    TextFacts,
    UkiFacts,
    UnreadableFacts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci.inspect.models import Inspection

Format = Literal["text", "json", "yaml"]

#: More than any line of a tree: rich would cut it.
_WIDTH = 8192

#: Files of a folder from which on they are one line of a text that is not whole.
_FOLDED_ABOVE = 12

_UNITS = ("B", "KiB", "MiB", "GiB")


def render(inspection: Inspection, form: Format, *, whole: bool = False) -> str:
    """Return the inspection in one of the forms, with a line feed at the end; the text is folded, unless it is whole.

    JSON and YAML are always whole.
    """
    if form == "text":
        return render_text(inspection, whole=whole)
    document = inspection.model_dump(mode="json", exclude_none=True)
    return json_text(document) if form == "json" else yaml_text(document)


def size_text(size: int) -> str:
    """Return a size with three digits at most: `12.3 MiB`."""
    value = float(size)
    for unit in _UNITS[:-1]:
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_UNITS[-1]}"


def render_text(inspection: Inspection, *, whole: bool = False) -> str:
    """Return a tree of what is inside what, with the facts that matter; control characters are shown, not sent.

    A command line stays one line, however long it is. A folder of many files is one line, unless all is to be shown.
    """
    out = io.StringIO()
    console = Console(file=out, width=_WIDTH, color_system=None, highlight=False, markup=False, emoji=False)
    console.print(_tree(inspection, whole), soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _tree(node: Inspection, whole: bool) -> Tree:
    title = f"{node.name}: {node.kind}"
    if node.sha256:
        title += f", {size_text(node.size)}, sha256 {node.sha256[:12]}"
    elif node.size:
        title += f", {size_text(node.size)}, too large for a checksum"
    tree = Tree(_safe(title))
    if node.same_as is not None:
        tree.add(_safe(f"the same bytes as {node.same_as}"))
        return tree
    for line in _lines(node.facts, whole):
        tree.add(_safe(line))
    for inner in node.contents:
        tree.add(_tree(inner, whole))
    return tree


def _safe(text: str) -> Text:
    """Return a text from a file with everything written out that a terminal would act on."""
    return Text(escaped(text, most=_WIDTH))


def _files(entries: Iterable[Entry], whole: bool) -> list[str]:
    """Return the paths of files; a folder of many is one line, at the place of its first."""
    files = [entry for entry in entries if entry.type == "file"]
    folders: dict[str, list[Entry]] = {}
    for entry in files:
        folders.setdefault(entry.path.rpartition("/")[0], []).append(entry)
    lines: dict[str, None] = {}
    for entry in files:
        folder = entry.path.rpartition("/")[0]
        if whole or len(folders[folder]) <= _FOLDED_ABOVE:
            lines[entry.path] = None
        else:
            lines[f"{folder}/: {_count(folders[folder])}"] = None
    return list(lines)


def _count(entries: Iterable[Entry]) -> str:
    found = [entry for entry in entries if entry.type == "file"]
    machines = sorted({entry.machine for entry in found if entry.machine})
    text = f"{len(found)} files, {size_text(sum(entry.size for entry in found))}"
    return text + (f", programs for {', '.join(machines)}" if machines else "")


def _lines(facts: AnyFacts, whole: bool) -> list[str]:  # noqa: C901 (one short case for each kind)
    match facts:
        case KernelFacts():
            efi = "EFI" if facts.efi else "no EFI header"
            return [f"{facts.format} for {facts.machine}, {efi}, release {facts.version or 'unknown'}"]
        case InitramfsFacts():
            return _initramfs(facts)
        case SquashfsFacts():
            return [f"{facts.compression}, blocks of {size_text(facts.block_size)}, {_count(facts.entries)}"]
        case UkiFacts():
            return _uki(facts)
        case EfiFacts():
            return [f"for {facts.machine}", f"sections {' '.join(section.name for section in facts.sections)}"]
        case ImageFacts():
            return _image(facts)
        case ExtensionFacts():
            wants = facts.compatibility or "any"
            return [f"{facts.name} {facts.version}, for Talos {wants}", _count(facts.entries)]
        case IsoFacts():
            return [f"volume {facts.volume}", *_files(facts.entries, whole)]
        case DiskFacts():
            return _disk(facts, whole)
        case ArchiveFacts():
            return [_count(facts.entries)]
        case CmdlineFacts():
            return [*(f"boots {url}" for url in facts.boots), facts.cmdline]
        case MenuFacts():
            return [f"{entry.title}: {entry.kernel} {entry.cmdline}".rstrip() for entry in facts.entries]
        case TextFacts():
            return [f"{facts.text.count(chr(10))} lines"]
        case ElfFacts():
            return [f"for {facts.machine}"]
        case DataFacts():
            return [f"begins with {facts.head}"]
        case FolderFacts():
            others = [f"{entry.path} is a {entry.type}" for entry in facts.entries if entry.type != "directory"]
            return others if whole or len(others) <= _FOLDED_ABOVE else [f"{len(others)} links and special files"]
        case UnreadableFacts():
            return [facts.error]


def _initramfs(facts: InitramfsFacts) -> list[str]:
    lines: list[str] = []
    for number, frame in enumerate(facts.frames):
        packed = f"{frame.compression}, {size_text(frame.size)}, expanded {size_text(frame.expanded)}"
        names = [entry.path for entry in frame.entries if entry.type != "directory"]
        shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        lines.append(f"frame {number}: {packed}: {shown}")
    layers = facts.layers or ()
    wanted = [f"{layer.name} {layer.version}, for Talos {layer.compatibility or 'any'}" for layer in layers]
    return lines + [f"{layer.image} = {text}" for layer, text in zip(layers, wanted, strict=True)]


def _uki(facts: UkiFacts) -> list[str]:
    lines = [f"for {facts.machine}, {facts.osrel.get('PRETTY_NAME', 'no os-release')}, kernel {facts.uname}"]
    lines += [f"command line: {line}" for line in (facts.cmdline, *facts.more_cmdlines) if line is not None]
    return [*lines, f"sections {' '.join(section.name for section in facts.sections)}"]


def _image(facts: ImageFacts) -> list[str]:
    lines = [f"{facts.format} for {facts.os}/{facts.architecture}, created {facts.created}"]
    lines += [f"tag {tag}" for tag in facts.tags]
    lines += [f"label {key}={value}" for key, value in sorted(facts.labels.items())]
    if facts.entrypoint:
        lines.append(f"entrypoint {' '.join(facts.entrypoint)}")
    lines += [f"layer {layer.diff_id[:12]}: {layer.compression}, {_count(layer.entries)}" for layer in facts.layers]
    return lines


def _disk(facts: DiskFacts, whole: bool) -> list[str]:
    stored = "" if facts.format == "raw" else f", {facts.format}"
    lines = [f"{size_text(facts.capacity)}, packed with {facts.compression}{stored}"]
    unread = {partition.number: partition.reason for partition in facts.unread}
    for partition in facts.partitions:
        title = f"partition {partition.number} {partition.name}"
        holds = f"{partition.type}, {size_text(partition.size)}"
        lines.append(f"{title}: {holds}, {partition.filesystem}" if partition.filesystem else f"{title}: {holds}")
        if partition.number in unread:
            lines.append(f"{title}: not read: {unread[partition.number]}")
        lines += _files(partition.entries, whole)
    return lines
