"""Templates to files: `%%{name}` is replaced, nothing else is known to a template.

Vendors' own languages use `${{ }}`, `{{ }}`, `$( )` and `%name%`; `%%{ }` is none of theirs.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ci.common.errors import CiFilesError
from ci.load import variant
from ci.upkeep.description import DESCRIPTION, names, parse_description

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEMPLATES: Final = Path(__file__).parent / "templates"

#: Where the files go, from the top of the project: each where its vendor looks for it, the others in docs/ci/.
PATHS: Final = tuple(
    sorted(path.relative_to(_TEMPLATES).as_posix() for path in _TEMPLATES.rglob("*") if path.is_file())
)


class _Template(string.Template):
    delimiter = "%%"
    idpattern = "(?!)"  # only the form with braces
    braceidpattern = "[a-z0-9_]+"


def render(template: str, values: Mapping[str, str], file: str) -> str:
    """Fill in a template; raises `CiFilesError` where it names what there is not."""
    try:
        return _Template(template).substitute(values)
    except KeyError as missing:
        raise CiFilesError(file, None, f"the template names {missing}, which the description does not have") from None


def files() -> dict[str, str]:
    """Return path → text of every vendor's file, for the built-in variants."""
    description = parse_description(DESCRIPTION.read_text())
    variants = variant.read_variants(variant.BUILTIN).names
    values = names(description, variants)
    return {path: render((_TEMPLATES / path).read_text(), values, path) for path in PATHS}
