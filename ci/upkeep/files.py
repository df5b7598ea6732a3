"""From what `ci-files` is called with to the files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci.common.arch import Arch
from ci.common.errors import FileError
from ci.load import variant
from ci.load.upstream import parse_release
from ci.plan.outputs import parse_outputs
from ci.upkeep.description import DESCRIPTION, parse_description
from ci.upkeep.render import render_files
from ci.upkeep.settings import Settings, parse_dagger, parse_folder, parse_module
from ci.upkeep.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci.load.variant import Variants
    from ci.upkeep.description import Description
    from ci.upkeep.vendors import Vendor


@dataclass(frozen=True)
class Arguments:
    """The arguments of `ci-files` besides the vendors, and of the module, as they were given."""

    module: str | None = None
    variant: tuple[str, ...] = ()
    variants_folder: str | None = None
    outputs: tuple[str, ...] = ()
    address: str | None = None
    dagger: str | None = None
    dagger_checksum: str | None = None
    #: Of the module: `--release`, and `--arch` where it is not the default.
    release: str | None = None
    arch: Arch = Arch.ARM64

    @property
    def words(self) -> str:
        """The arguments of `ci-files` as they are written on a command line."""
        given = {
            "--module": self.module,
            "--variant": ",".join(self.variant),
            "--variants-folder": self.variants_folder,
            "--outputs": ",".join(self.outputs),
            "--address": self.address,
            "--dagger": self.dagger,
            "--dagger-checksum": self.dagger_checksum,
        }
        return " ".join(f"{option} {value}" for option, value in given.items() if value)


def make_settings(
    description: Description, arguments: Arguments, variants: Variants, own: tuple[str, ...] | None = None
) -> Settings:
    """Return the settings for what was asked; `own` are the names of the user's own variants, `None` without any.

    Raises a `CozystackTalosError` for the first argument that is not valid.
    """
    if arguments.release is not None:
        parse_release(arguments.release)
    if arguments.outputs:
        parse_outputs(arguments.outputs)
    if own is None and arguments.variants_folder is not None:
        raise FileError("--variants-folder", None, "no variants of your own are given: add --variants before ci-files")
    asked = tuple(part for name in arguments.variant for part in _split(name))
    return Settings(
        variants=tuple(variants.get(name).name for name in asked) or own or variants.names,
        dagger=parse_dagger(arguments.dagger, arguments.dagger_checksum, description.dagger, description.runner),
        outputs=tuple(part for name in arguments.outputs for part in _split(name)) or description.outputs,
        module=parse_module(arguments.module) if arguments.module is not None else None,
        variants_folder=parse_folder(arguments.variants_folder or "variants") if own is not None else None,
        address=arguments.address,
        release=arguments.release,
        arch=None if arguments.arch is Arch.ARM64 else arguments.arch.value,
        given=arguments.words,
    )


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def files(arguments: Arguments | None = None, vendors: Iterable[Vendor] = VENDORS) -> dict[str, str]:
    """Return path → text of the vendors' files for the built-in variants; without arguments, those of a checkout."""
    description = parse_description(DESCRIPTION.read_text())
    variants = variant.read_variants(variant.BUILTIN)
    return render_files(description, make_settings(description, arguments or Arguments(), variants), vendors)
