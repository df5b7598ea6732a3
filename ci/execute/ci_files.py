"""The CI files of vendors, as changes to a checkout."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import TYPE_CHECKING, cast

from ci.common.errors import FileError
from ci.common.progress import say
from ci.execute.load import load_variants
from ci.upkeep.description import DESCRIPTION, parse_description
from ci.upkeep.files import make_settings
from ci.upkeep.render import render_files
from ci.upkeep.vendors import notes

if TYPE_CHECKING:
    import dagger

    from ci.upkeep.files import Arguments
    from ci.upkeep.vendors import Vendor

_MODULE_FILE = "dagger.json"
_MODULE = "cozystack-talos"


async def write_ci_files(
    source: dagger.Directory, vendors: tuple[Vendor, ...], arguments: Arguments, own_variants: dagger.Directory | None
) -> dagger.Changeset:
    """Return the vendors' files as changes to a checkout, and show what has to be set up for them.

    Raises `FileError` for a checkout of another project for which no reference to this module is given.
    """
    own = None
    if own_variants is not None:
        own = tuple(sorted(PurePath(path).stem for path in await own_variants.glob("*.yaml")))
    description = parse_description(DESCRIPTION.read_text())
    settings = make_settings(description, arguments, await load_variants(own_variants), own)
    if settings.module is None and not await _is_this_project(source):
        reason = (
            "the checkout is not one of this project: give the module that its jobs call, "
            f"such as --module github.com/OWNER/{_MODULE}@v0.1.0"
        )
        raise FileError("--module", None, reason)
    made = source
    for path, text in render_files(description, settings, vendors).items():
        made = made.with_new_file(path, text)
    say(notes(vendors, settings.address, settings.module))
    return made.changes(source)


async def _is_this_project(source: dagger.Directory) -> bool:
    if not await source.exists(_MODULE_FILE):
        return False
    try:
        found = json.loads(await source.file(_MODULE_FILE).contents())
    except ValueError:
        return False
    return isinstance(found, dict) and cast("dict[str, object]", found).get("name") == _MODULE
