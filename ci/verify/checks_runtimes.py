"""Checks of container runtimes: containerd's configuration of them, and the shims that it starts.

Talos makes one configuration of all `/etc/cri/conf.d/*.part`. containerd 2 reads runtimes below another plugin's name
than containerd 1 did, and passes over those below the old one.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from ci.inspect.models import InitramfsFacts
from ci.plan.quirks import CRI_PLUGINS
from ci.verify.compatibility import quirks_of
from ci.verify.model import Verdict, skip

if TYPE_CHECKING:
    from ci.plan.expectation import Expectation
    from ci.verify.assets import Assets, Found

#: Handlers that Talos's own configuration defines.
_OWN = ("runc",)
#: Shims that Talos's own root file system has; that of stand-ins has no containerd.
_OWN_SHIMS = ("containerd-shim-runc-v2",)
#: Where Talos's containerd looks for programs (`PATH` of its runner).
_PATH = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
#: `io.containerd.spin.v2` is the shim containerd-shim-spin-v2 (containerd, core/runtime/v2).
_TYPE = re.compile(r"io\.containerd\.(?P<name>[A-Za-z0-9._-]+)\.(?P<version>v[0-9]+)")

_Table = dict[str, Any]


@dataclass(frozen=True)
class _Runtime:
    """A runtime as a part of the configuration defines it."""

    place: str
    handler: str
    plugin: str
    table: _Table

    @property
    def programs(self) -> list[str]:
        """Names or paths of the programs that have to be there."""
        kind, path = self.table.get("runtime_type"), self.table.get("runtime_path")
        options = self.table.get("options")
        binary = cast("_Table", options).get("BinaryName") if isinstance(options, dict) else None
        found = [path] if path else []
        if not path and isinstance(kind, str):
            match = _TYPE.fullmatch(kind)
            found = [f"containerd-shim-{match['name']}-{match['version']}" if match else kind]
        return [one for one in (*found, binary) if isinstance(one, str)]


@dataclass
class _Configuration:
    """All that one initramfs configures of containerd's runtimes."""

    runtimes: list[_Runtime] = field(default_factory=list[_Runtime])
    problems: list[str] = field(default_factory=list[str])
    #: Programs by path, as far as Talos and its extensions carry them.
    programs: set[str] = field(default_factory=set[str])

    def has(self, program: str) -> bool:
        """Say whether a program is there, given by path or by name."""
        if program.startswith("/"):
            path = posixpath.normpath(program).lstrip("/")
            return path in self.programs or f"usr/{path}" in self.programs
        return any(f"{folder}/{program}" in self.programs for folder in _PATH)


def _table(value: Any, *keys: str) -> _Table:
    for key in keys:
        value = cast("_Table", value).get(key) if isinstance(value, dict) else None
    return cast("_Table", value) if isinstance(value, dict) else {}


def _configuration(assets: Assets, initramfs: Found[InitramfsFacts]) -> _Configuration:
    made = _Configuration()
    for image, squashfs in assets.images_of(initramfs).items():
        made.programs |= {entry.path for entry in squashfs.entries if entry.type in ("file", "symlink")}
        for path, text in squashfs.texts.items():
            if not path.endswith(".part"):
                continue
            place = f"{initramfs.path}:{image}: /{path}"
            try:
                document = tomllib.loads(text)
            except tomllib.TOMLDecodeError as error:
                made.problems.append(f"{place} is no TOML, so containerd would not start: {error}")
                continue
            for plugin in CRI_PLUGINS:
                runtimes = _table(document, "plugins", plugin, "containerd", "runtimes")
                made.runtimes += [
                    _Runtime(place, handler, plugin, cast("_Table", table))
                    for handler, table in runtimes.items()
                    if isinstance(table, dict)
                ]
    return made


def runtimes_defined(assets: Assets, expectation: Expectation) -> Verdict:
    """`runtimes.defined`."""
    plugin = quirks_of(expectation.talos).cri_plugin
    verdict = Verdict()
    for initramfs in assets.distinct(InitramfsFacts):
        made = _configuration(assets, initramfs)
        verdict.problems += made.problems
        verdict.problems += [
            f"{one.place} defines {one.handler} below {one.plugin!r}, this Talos's containerd reads {plugin!r}"
            for one in made.runtimes
            if one.plugin != plugin
        ]
        known = {one.handler: one.place for one in made.runtimes if one.plugin == plugin}
        misplaced = {one.handler for one in made.runtimes if one.plugin != plugin}
        verdict.problems += [
            f"{initramfs.path}: no extension defines the runtime {handler}, which a runtime class names: "
            f"known are {', '.join(sorted({*known, *_OWN}))}"
            for handler in expectation.runtime_handlers
            if handler not in known and handler not in misplaced and handler not in _OWN
        ]
        verdict.evidence += [f"{place}: {handler}" for handler, place in known.items()]
    return verdict if verdict.evidence or verdict.problems else skip("no extension brings a container runtime")


def runtimes_shims(assets: Assets, _: Expectation) -> Verdict:
    """`runtimes.shims`."""
    verdict = Verdict()
    for initramfs in assets.distinct(InitramfsFacts):
        made = _configuration(assets, initramfs)
        for runtime in made.runtimes:
            if not runtime.programs:
                verdict.problems.append(f"{runtime.place}: {runtime.handler} has no runtime_type")
            verdict.problems += [
                f"{runtime.place}: {runtime.handler} starts {program}, which is nowhere in the image"
                for program in runtime.programs
                if not made.has(program) and not (assets.stand_in and program in _OWN_SHIMS)
            ]
            verdict.evidence.append(f"{runtime.place}: {runtime.handler} starts {', '.join(runtime.programs)}")
    return verdict if verdict.evidence else skip("no extension brings a container runtime")
