"""Templates to pages: everything that is filled in is escaped, and a page may fetch nothing.

Text from outside meets two gates: `ci.common.text.escaped` writes out what is not printed, and Jinja escapes markup.
The pages' policy lets only the style and the script run whose hashes it names: what slipped through would be inert.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup, escape

from ci.common.text import escaped

if TYPE_CHECKING:
    from jinja2 import Environment, Template

_TEMPLATES: Final = Path(__file__).parent / "templates"

#: Characters of one text in a page; what is beyond is counted.
_LONGEST: Final = 1000


def _shown(value: Any) -> Any:
    """Return what a template writes for a value: of a text from outside, only what is printed."""
    return escaped(value, most=_LONGEST) if isinstance(value, str) and not isinstance(value, Markup) else value


def bytes_text(size: float) -> str:
    """Return a size in the unit that a person reads: kB and MB of 1000 and 1000 000 bytes."""
    for unit, divisor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= divisor:
            return f"{size / divisor:.1f} {unit}"
    return f"{size:.0f} B"


def _lines(text: str) -> Markup:
    """Return a command of several lines, each of them escaped."""
    return Markup("\n").join(escape(escaped(line, most=_LONGEST)) for line in text.split("\n"))


@cache
def _environment() -> Environment:
    # Calls that make no page start without it: the module is imported anew for each.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
    )
    environment.filters |= {"bytes": bytes_text, "lines": _lines}
    return environment


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _part(name: str) -> str:
    """Return the style or the script, which are this project's own."""
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def read_template(name: str) -> Template:
    """Return a template, compiled once."""
    return _environment().get_template(name)


def render_page(template: str, **values: Any) -> str:
    """Return a page; the same values give the same bytes."""
    style, script = _part("page.css"), _part("page.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    own = {"style": Markup(style), "script": Markup(script), "policy": policy}  # noqa: S704 (files of this project)
    return read_template(template).render(**own, **values)
