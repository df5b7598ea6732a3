"""Overlays: what single-board computers need, installed by a program out of an image.

Such an image has `installers/` (programs for the architecture that the imager runs on), `artifacts/` and `profiles/`.
"""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import goyaml
from .errors import ImagerError
from .profile_reader import parse_profile

if TYPE_CHECKING:
    from .contract import Contract
    from .profile import Overlay, Profile

BASE = "overlay"
DEFAULT_INSTALLER = "default"
_GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_SECTOR = 512


def host_architecture() -> str:
    """Returns the architecture that installers have to be for."""
    machine = platform.machine()
    return _GO_ARCHITECTURES.get(machine, machine)


@dataclass(frozen=True)
class OverlayInstaller:
    """An unpacked overlay: `scratch` has it at `overlay/`."""

    scratch: Path
    name: str
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, scratch: Path, overlay: Overlay) -> OverlayInstaller:
        """Returns the one that a profile's overlay names, which gets the default name when it has none."""
        overlay.name = overlay.name or DEFAULT_INSTALLER
        return cls(scratch, overlay.name, overlay.options)

    def profiles(self, contract: Contract) -> dict[str, Profile]:
        """Returns the profiles that came along, by name.

        Raises ImagerError `failed to unmarshal profile: …`.
        """
        found: dict[str, Profile] = {}
        for path in sorted((self.scratch / BASE / "profiles").glob("*.yaml")):
            try:
                found[path.stem] = parse_profile(path.read_text(errors="replace"), contract)
            except ImagerError as error:
                raise ImagerError(f"failed to unmarshal profile: {error}") from None
        return found

    def kernel_arguments(self) -> list[str]:
        """Asks the installer for the kernel arguments that the board needs."""
        arguments: list[Any] = self._answers().get("kernelArgs") or []
        return [str(argument) for argument in arguments]

    def first_byte(self, default: int) -> int:
        """Asks the installer where the first partition may start, in bytes; whole multiples of the default."""
        partitions: dict[str, Any] = self._answers().get("partitionOptions") or {}
        offset = int(partitions.get("offset") or 0) * _SECTOR
        return max(default, -(-offset // default) * default)

    def install(self, disk: Path, mount_prefix: Path) -> None:
        """Has the installer put its files below the place where partitions are prepared, or onto the disk."""
        given: dict[str, Any] = {
            "installDisk": str(disk),
            "mountPrefix": str(mount_prefix),
            "artifactsPath": str(self.scratch / BASE / "artifacts"),
        }
        if self.options:
            given["extraOptions"] = self.options
        try:
            self._run("install", given)
        except ImagerError as error:
            raise ImagerError(f"failed to run overlay installer: {error}") from None

    def _answers(self) -> dict[str, Any]:
        answer = goyaml.mapping(goyaml.compose(self._run("get-options", self.options)))
        if answer is None:
            raise ImagerError("failed to unmarshal overlay options: it answered no mapping")
        return answer

    def _run(self, command: str, given: dict[str, Any]) -> str:
        program = self.scratch / BASE / "installers" / self.name
        text = goyaml.dump(given, indent=4) if given else "{}\n"
        failed = "failed to run overlay installer"
        try:
            done = subprocess.run([program, command], input=text, capture_output=True, text=True, check=False)
        except OSError as error:
            reason = f"fork/exec {program}: {(error.strerror or '').lower()}"
            raise ImagerError(f"{failed}: {reason}, stdErr: ") from None
        if done.returncode != 0:
            raise ImagerError(f"{failed}: exit status {done.returncode}, stdErr: {done.stderr}")
        return done.stdout


def installer_files(scratch: Path, name: str, options: dict[str, Any]) -> dict[str, tuple[Path, int]]:
    """Returns what an installer image gets of an overlay unpacked below a folder: path → file or folder, and mode.

    Its installer becomes the default one, for the architecture of the installer.
    Raises ImagerError when the overlay has no such installer.
    """
    base = scratch / BASE
    chosen = scratch / "extra-options"
    chosen.write_text(goyaml.dump(options, indent=4) if options else "{}\n")
    sources = {
        f"{BASE}/artifacts": base / "artifacts",
        f"{BASE}/installers/{DEFAULT_INSTALLER}": base / "installers" / name,
        f"{BASE}/extra-options": chosen,
    }
    files: dict[str, tuple[Path, int]] = {}
    for path, source in sources.items():
        if not source.exists():
            raise ImagerError(f"failed to walk extra artifact {source}: lstat {source}: no such file or directory")
        if source.is_file():
            files[path] = (source, source.stat().st_mode & 0o777)
        for item in sorted(source.rglob("*")) if source.is_dir() else ():
            files[f"{path}/{item.relative_to(source)}"] = (item, item.stat().st_mode & 0o777)
    return files
