"""Templates to files.

`%%{name}` is replaced by a value. A line that ends in ` %%?name` is kept only where that value is not empty, one that
ends in ` %%!name` only where it is. Vendors' own languages use `${{ }}`, `{{ }}`, `$( )` and `%name%`, never `%%`.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING, Final

from ci.common.errors import FileError
from ci.upkeep.vendors import TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci.upkeep.description import Description
    from ci.upkeep.settings import DaggerRelease, Settings
    from ci.upkeep.vendors import Vendor

_CONDITION: Final = re.compile(r" %%(?P<kind>[?!])(?P<name>[a-z0-9_]+)$")
_RELEASES: Final = "https://dl.dagger.io/dagger/releases"

#: Files for a checkout of this project only: what they call changes the pins in it.
_OF_A_CHECKOUT: Final = (".github/workflows/update.yml",)


class _Template(string.Template):
    delimiter = "%%"
    idpattern = "(?!)"  # only the form with braces
    braceidpattern = "[a-z0-9_]+"


def render(template: str, values: Mapping[str, str], file: str) -> str:
    """Fill in a template; raises `FileError` where it names a value that does not exist."""
    try:
        kept = (_kept(line, values) for line in template.splitlines())
        return _Template("".join(f"{line}\n" for line in kept if line is not None)).substitute(values)
    except KeyError as missing:
        raise FileError(file, None, f"the template names {missing}, which the description does not have") from None


def _kept(line: str, values: Mapping[str, str]) -> str | None:
    """Return a line without its condition, or `None` where the condition is not met."""
    condition = _CONDITION.search(line)
    if condition is None:
        return line
    wanted = condition["kind"] == "?"
    return line[: condition.start()] if bool(values[condition["name"]]) is wanted else None


def render_files(description: Description, settings: Settings, vendors: Iterable[Vendor]) -> dict[str, str]:
    """Return path → text of the vendors' files."""
    rendered: dict[str, str] = {}
    for vendor in vendors:
        values = names(description, settings, vendor)
        for path in vendor.paths:
            if settings.module is None or path not in _OF_A_CHECKOUT:
                rendered[path] = render((TEMPLATES / path).read_text(), values, path)
    return rendered


def names(description: Description, settings: Settings, vendor: Vendor) -> Mapping[str, str]:
    """Return what a template's `%%{name}` stands for."""
    dagger, variants = settings.dagger, settings.variants
    archive = f"dagger_v{dagger.version}_linux_{description.runner}.tar.gz"
    address = settings.address or ""
    return {
        "header": _header(settings, vendor),
        "verb": dagger.verb,
        "call": settings.call,
        "module": settings.module or "",
        "options": f"{settings.options} " if settings.options else "",
        "build": f"build --outputs {','.join(settings.outputs)} --variant",
        "outputs": ",".join(settings.outputs),
        "workloads": "workloads-record --release newest --before pinned export --path",
        "show_workloads": 'for report in workloads/*.txt; do [ ! -f "$report" ] || cat -- "$report"; done',
        "weekly": "47 4 * * 1",
        "address": address,
        # whether the address is at a registry to which the vendor's jobs have no credentials of their own
        "login": "yes" if address and not vendor.has_registry(address) else "",
        "variants": ", ".join(variants),
        "variants_quoted": ", ".join(f'"{name}"' for name in variants),
        "variants_single_quoted": ", ".join(f"'{name}'" for name in variants),
        "variants_azure": ", ".join(f"{name.replace('-', '_')}: {{VARIANT: {name}}}" for name in variants),
        "variants_commas": ",".join(variants),
        "variants_words": " ".join(variants),
        "dagger_version": dagger.version,
        "dagger_engine": dagger.engine,
        "dagger_url": f"{_RELEASES}/{dagger.version}/{archive}",
        "check_curl": _check(dagger, archive, "curl -fsSL"),
        "check_wget": _check(dagger, archive, "wget -qO-"),
        "node_label": description.nodes.label,
        "engine_folder": description.nodes.engine_folder,
        **{f"image_{name}": image for name, image in description.images.items()},
        **{f"action_{name}": str(action) for name, action in description.actions.items()},
        **{f"machine_{name}": machine for name, machine in description.machines.items()},
    }


def _header(settings: Settings, vendor: Vendor) -> str:
    words = ("dagger", settings.call, "ci-files --vendor", vendor.name, settings.given)
    command = " ".join(word for word in words if word)
    source = "" if settings.module else " from ci/upkeep/: edit the template or the description there"
    return f"Made by `{command}`{source}."


def _check(dagger: DaggerRelease, archive: str, fetch: str) -> str:
    """Return the command that checks the downloaded dagger.tar.gz; it fails without a checksum to check."""
    if dagger.sha256:
        return f'echo "{dagger.sha256}  dagger.tar.gz" | sha256sum -c'
    checksums = f"{_RELEASES}/{dagger.version}/checksums.txt"
    return f"{fetch} {checksums} | sed -n 's/{archive}/dagger.tar.gz/p' | sha256sum -c"
