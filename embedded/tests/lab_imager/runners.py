"""Two ways to run the lab's imager: in this process, and inside a Debian root as nobody without network."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from unittest import mock

from embedded.lab.imager.contract import CONTRACTS
from embedded.lab.imager.main import main

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = Path(__file__).parents[2] / "lab/imager"
NOBODY = 65534
# Enters private namespaces, lays a throw-away layer over the root and runs a command there:
# $1 root, $2 scratch folder, $3 the imager's package, $4 LAB, $5 uid; then the command.
_ENTER = """
set -e
root=$1 scratch=$2 program=$3 lab=$4 uid=$5
shift 5
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
cd "$scratch/root"
mkdir -p dev proc sys tmp LAB usr/install usr/lib/cozystack-lab/imager etc/modules.d
cp "$program/etc/10-extra-modules.conf" etc/modules.d/
mount --bind "$lab" LAB
mount --bind "$lab/tmp" tmp
mount --bind "$lab/usr-install" usr/install
mount --bind "$program" usr/lib/cozystack-lab/imager
mount -t proc proc proc
touch dev/null
mount -t sysfs sysfs sys
mknod -m 600 dev/loop-control c 10 237
for number in $(seq 0 31); do mknod -m 600 "dev/loop$number" b 7 "$number"; done
mount --bind /dev/null dev/null
exec chroot --userspec="$uid:$uid" . "$@"
"""


@dataclass(frozen=True)
class Result:
    """What a run gave: exit code, both streams, and the files in its output folder with their sizes."""

    exit_code: int
    stdout: str
    stderr: str
    out: Path

    @property
    def files(self) -> dict[str, int]:
        """The output files' sizes in bytes by name."""
        return {path.name: path.stat().st_size for path in sorted(self.out.iterdir())} if self.out.is_dir() else {}

    @property
    def file(self) -> Path:
        """The only output file."""
        (path,) = self.out.iterdir()
        return path


def normalized(text: str, lab: str) -> str:
    """Replaces what differs from run to run by the recorded names."""
    text = text.replace(lab, "LAB")
    text = re.sub(r"/\S*/talos-uki\w+/unsigned\.uki", "LABTMP", text)
    return re.sub(r"/\S*?/imager\w+(?=[/\"])", "WORK/imagerN", text)


class HostRunner:
    """Runs the imager in this process; profiles may name LAB and /usr/install."""

    def __init__(self, folder: Path) -> None:
        self.lab = folder / "lab"
        self.install = folder / "usr-install"

    def run(self, case: str, profile: str, version: str) -> Result:
        """Runs a profile under one of the contracts."""
        out = self.lab / "out" / case
        text = profile.replace("LAB/", f"{self.lab}/").replace("/usr/install/", f"{self.install}/")
        stdout, stderr = io.StringIO(), io.StringIO()
        stdin = io.TextIOWrapper(io.BytesIO(text.encode()))
        with (
            mock.patch.object(sys, "stdin", stdin),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
        ):
            code = main(["-", "--output", str(out)], CONTRACTS[version])
        said = stderr.getvalue().replace(f"{self.install}/", "/usr/install/")
        return Result(code, stdout.getvalue(), normalized(said, str(self.lab)), out)


class RootRunner:
    """Runs the imager inside a Debian root, which stays as it is."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._scratch = folder / "scratch"
        self.lab = folder / "lab"

    def __enter__(self) -> Self:
        self._scratch.mkdir()
        for name in ("tmp", "usr-install", "out"):
            (self.lab / name).mkdir(parents=True)
            (self.lab / name).chmod(0o1777)
        # What pytest makes is for its owner only, and the imager runs as nobody.
        for path in (self.lab, *list(self.lab.parents)[:3]):
            path.chmod(0o755)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.lab, ignore_errors=True)

    def boot_files(self) -> dict[str, Path]:
        """Returns systemd's stubs and boot loaders as they lie in the root, by their name below /usr/install."""
        names = [f"{arch}/systemd-{kind}.efi" for arch in ("arm64", "amd64") for kind in ("stub", "boot")]
        return {name: self._root / "usr/install" / name for name in names}

    def run(
        self,
        case: str,
        profile: str,
        version: str,
        *,
        environment: Mapping[str, str] | None = None,
        uid: int = NOBODY,
    ) -> Result:
        """Runs a profile under one of the contracts."""
        (self.lab / "usr-install/VERSION").write_text(f"{version}\n")
        out = self.lab / "out" / case
        text = profile.replace("LAB/", "/LAB/")
        command = ["/usr/lib/cozystack-lab/imager/bin/imager", "-", "--output", f"/LAB/out/{case}"]
        done = self._enter(command, text.encode(), environment or {}, uid)
        return Result(done.returncode, done.stdout.decode(), normalized(done.stderr.decode(), "/LAB"), out)

    def tool(self, *command: str) -> str:
        """Runs one of the root's programs on files below /LAB and returns what it prints."""
        done = self._enter(list(command), b"", {"TZ": "UTC"}, 0)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def _enter(
        self, command: list[str], stdin: bytes, environment: Mapping[str, str], uid: int
    ) -> subprocess.CompletedProcess[bytes]:
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        places = [str(place) for place in (self._root, self._scratch, PROGRAM, self.lab)]
        return subprocess.run(
            [
                "unshare",
                "--mount",
                "--net",
                "--pid",
                "--fork",
                "sh",
                "-c",
                _ENTER,
                "enter",
                *places,
                str(uid),
                *command,
            ],
            input=stdin,
            capture_output=True,
            check=False,
            env={"PATH": path, **environment},
        )


def as_lab_path(path: Path, lab: Path) -> str:
    """Returns a file's name inside the root."""
    return os.fspath(Path("/LAB") / path.relative_to(lab))
