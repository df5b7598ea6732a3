"""Profiles to inherit from by name: the built-in ones, of every platform; and how one is laid over another."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from .platforms import PLATFORMS, DiskProfile
from .profile import DiskFormat, ImageOptions, IsoOptions, OutFormat, Output, OutputKind, Profile

MIN_DISK_SIZE = 1246 << 20
_T = TypeVar("_T")


def built_in() -> dict[str, Profile]:
    """Returns the built-in profiles, by name."""

    def raw(kind: OutputKind) -> Output:
        return Output(kind, OutFormat.RAW)

    def disk() -> Output:
        return Output(OutputKind.IMAGE, OutFormat.ZSTD, ImageOptions(MIN_DISK_SIZE, DiskFormat.RAW))

    def of(platform: str, output: Output, *, secure: bool = False) -> Profile:
        return Profile(platform=platform, secure_boot=secure, output=output)

    secure_iso = Output(OutputKind.ISO, OutFormat.RAW, iso_options=IsoOptions())
    return {
        "iso": of("metal", raw(OutputKind.ISO)),
        "secureboot-iso": of("metal", secure_iso, secure=True),
        "metal": of("metal", disk()),
        "secureboot-metal": of("metal", disk(), secure=True),
        "metal-uki": of("metal", raw(OutputKind.UKI)),
        "secureboot-metal-uki": of("metal", raw(OutputKind.UKI), secure=True),
        "installer": of("metal", raw(OutputKind.INSTALLER)),
        "secureboot-installer": of("metal", raw(OutputKind.INSTALLER), secure=True),
        "secureboot-nocloud": of("nocloud", disk(), secure=True),
    } | {name: of(name, _cloud_disk(platform.disk)) for name, platform in PLATFORMS.items() if platform.disk}


def _cloud_disk(disk: DiskProfile) -> Output:
    options = ImageOptions(disk.size, disk.form, disk.options)
    return Output(OutputKind.IMAGE, disk.packing, options)


def merged(base: _T, over: _T) -> _T:
    """Returns a dataclass with the values of `over`, and those of `base` where `over` has none.

    Lists are joined, the base's first; dictionaries are laid over each other; dataclasses are merged field by field.
    """
    values = {
        field.name: _merged_value(getattr(base, field.name), getattr(over, field.name), field)
        for field in dataclasses.fields(base)  # type: ignore[arg-type]
    }
    return type(base)(**values)


def _merged_value(base: Any, over: Any, field: dataclasses.Field[Any]) -> Any:
    if over is None or base is None:
        return base if over is None else over
    if dataclasses.is_dataclass(over):
        return merged(base, over)
    if isinstance(over, list):
        return type(over)([*base, *over])  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(over, dict):
        return base | over
    return base if over == field.default else over
