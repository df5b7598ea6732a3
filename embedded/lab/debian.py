"""Debian packages of the lab's suite, from the mirrors that this machine is configured to use."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from embedded.lab.errors import LabError
from embedded.lab.oci import Layer
from embedded.lab.recipe import Bench

SUITE: Final = "trixie"
ARCHITECTURES: Final = ("amd64", "arm64")
NATIVE: Final = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "amd64")
FOREIGN: Final = next(name for name in ARCHITECTURES if name != NATIVE)
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
STATUS: Final = "status"
"""The file with dpkg's list of what is installed in a root, next to its layer."""
MIRROR_VARIABLE: Final = "COZYSTACK_TALOS_DEBIAN_MIRROR"

EXCLUDED: Final = ("usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian")
"""What Debian's own slim images leave out; licences stay."""
_APT: Final = threading.Lock()
_MEMORY_NEEDED: Final = 2_000_000
"""kB of available memory from which on a root file system is made in memory; it takes about a fifth of that."""


@dataclass(frozen=True)
class Source:
    """A place for packages: `suite` is one of trixie, trixie-updates, trixie-security."""

    uri: str
    suite: str

    def line(self, components: str = "main", options: str = "") -> str:
        """Return the entry for apt's sources.list."""
        return f"deb {options}{self.uri} {self.suite} {components}"


def parse_sources(text: str) -> list[tuple[str, str]]:
    """Return the (URI, suite) pairs with the component main of a sources file, in one-line or deb822 form."""
    pairs: list[tuple[str, str]] = []
    for line in text.splitlines():
        if match := re.match(r"deb\s+(?:\[[^]]*]\s+)?(\S+)\s+(\S+)\s+(.*)", line.strip()):
            uri, suite, components = match.groups()
            if "main" in components.split():
                pairs.append((uri, suite))
    for paragraph in re.split(r"\n\s*\n", text):
        fields: dict[str, list[str]] = {}
        for line in paragraph.splitlines():
            if match := re.match(r"([A-Za-z-]+):\s*(.*)", line):
                fields[match[1].lower()] = match[2].split()
        if "deb" in fields.get("types", []) and "main" in fields.get("components", []):
            enabled = fields.get("enabled", ["yes"])[0].lower() not in {"no", "false"}
            pairs += [(uri, suite) for uri in fields.get("uris", []) for suite in fields.get("suites", []) if enabled]
    return pairs


@cache
def sources() -> tuple[Source, ...]:
    """Return where the lab's packages come from: the machine's own Debian mirrors, with the lab's suite.

    COZYSTACK_TALOS_DEBIAN_MIRROR overrides them (URL of a Debian mirror; then without security updates).
    Raises LabError where the machine has no Debian mirror.
    """
    if mirror := os.environ.get(MIRROR_VARIABLE):
        return (Source(mirror, SUITE), Source(mirror, f"{SUITE}-updates"))
    release = _release()
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    found: dict[Source, None] = {}
    for file in files:
        if file.suffix not in {".list", ".sources"} or not file.is_file():
            continue
        for uri, suite in parse_sources(file.read_text()):
            name, dash, pocket = suite.partition("-")
            if release and name in {release, "stable"} and pocket in {"", "updates", "security"}:
                found[Source(uri.rstrip("/"), f"{SUITE}{dash}{pocket}")] = None
    if not any(source.suite == SUITE for source in found):
        raise LabError(
            "the lab is made from Debian packages, and this machine's apt has no Debian mirror",
            hint=f"set {MIRROR_VARIABLE} to the URL of a Debian mirror",
        )
    return tuple(found)


def _release() -> str:
    try:
        fields = platform.freedesktop_os_release()
    except OSError:
        return ""
    return fields.get("VERSION_CODENAME", "") if fields.get("ID") == "debian" else ""


def root(bench: Bench, include: Sequence[str] = (), hooks: Sequence[str] = ()) -> Layer:
    """Make a root filesystem of this machine's architecture as a layer, with its packages installed.

    Args:
        bench: the recipe's bench.
        include: packages beside the essential ones and apt.
        hooks: shell lines that run at the end with the root's path in `$1`.
    """
    if not KEYRING.exists():
        raise LabError(f"{KEYRING} is missing", hint="install the package debian-archive-keyring")
    bench.say("packages")
    tar = bench.scratch / "root.tar"
    excluded = " ".join(f'"$1/{path}"' for path in EXCLUDED)
    settings = "".join(f"path-exclude /{path}/*\\n" for path in EXCLUDED)
    hooks = [
        *hooks,
        f"rm -rf {excluded}",
        f"""printf '{settings}' > "$1/etc/dpkg/dpkg.cfg.d/slim\"""",
        'find "$1/usr/share/doc" -mindepth 2 -type f ! -name copyright -delete',
        'find "$1" -xdev -name __pycache__ -prune -exec rm -rf {} +',
        'rm -f "$1/etc/resolv.conf" "$1/etc/hostname" "$1/var/cache/ldconfig/aux-cache" "$1/var/log/bootstrap.log"',
        f'cp "$1/var/lib/dpkg/status" {shlex.quote(str(bench.out / STATUS))}',
    ]
    scratch = bench.scratch / "mmdebstrap"
    scratch.mkdir()
    bench.run(
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *_in_memory(scratch),
        *(_mmdebstrap(), "--mode=root", "--format=tar", "--variant=minbase", f"--architectures={NATIVE}"),
        "--dpkgopt=force-unsafe-io",
        *(f"--keyring={KEYRING}", "--aptopt=APT::Install-Recommends false", "--skip=output/dev"),
        *(f"--include={package}" for package in include),
        *(f"--customize-hook={hook}" for hook in hooks),
        *(SUITE, tar, "-"),
        stdin="".join(f"{source.line()}\n" for source in sources()).encode(),
        env={"TMPDIR": str(scratch)},
    )
    bench.say("layer")
    with tar.open("rb") as file:
        layer = bench.blobs.put_layer(file)
    tar.unlink()
    return layer


def _in_memory(folder: Path) -> tuple[str, ...]:
    """Return the beginning of a command that has this folder in memory, where there is enough of that.

    Twenty thousand small files are written, packed once and removed: on a disk that takes longer than all the rest.
    """
    found = re.search(r"^MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    if not found or int(found[1]) < _MEMORY_NEEDED:
        return ()
    return ("sh", "-c", 'mount -t tmpfs -o mode=755 lab "$1" && shift && exec "$@"', "sh", str(folder))


def slim(unpacked: Path) -> None:
    """Remove from unpacked packages what a slim root leaves out, and move what lies beside `usr` into it."""
    for path in EXCLUDED:
        shutil.rmtree(unpacked / path, ignore_errors=True)
    for file in (unpacked / "usr/share/doc").glob("*/*"):
        if file.name != "copyright":
            shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink()
    for name in ("bin", "sbin", "lib", "lib64"):
        if (folder := unpacked / name).is_dir() and not folder.is_symlink():
            shutil.copytree(folder, unpacked / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(folder)


def _mmdebstrap() -> str:
    from embedded.setup.paths import tool

    return str(tool("mmdebstrap"))


class Packages:
    """Downloads of single packages, through an apt with its state below the lab's folder."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._state = bench.lab / "apt"

    def dependencies(self, package: str) -> list[str]:
        """Return what a package (`name:architecture`) depends on."""
        self._update()
        text = self._query("apt-cache", "depends", package)
        return re.findall(r"^\s*Depends: ([^\s:<|]+)", text, re.MULTILINE)

    def closure(self, packages: Sequence[str], installed: Path) -> list[str]:
        """Return these packages and those they depend on, as `name`, that a dpkg status file does not list.

        All are of this machine's architecture.
        """
        self._update()
        command = ("--simulate", "--no-install-recommends", f"-oDir::State::status={installed}", "install", *packages)
        return re.findall(r"^Inst (\S+)", self._query("apt-get", *command), re.MULTILINE)

    def unpack(self, packages: Iterable[str], into: Path) -> None:
        """Download packages (`name:architecture`) and unpack them, unconfigured, into a folder."""
        self._update()
        downloads = self._bench.scratch / "downloads"
        downloads.mkdir(exist_ok=True)
        self._bench.say("packages")
        self._bench.run("apt-get", *self._options(), "--quiet=2", "download", *packages, cwd=downloads)
        into.mkdir(parents=True, exist_ok=True)
        for file in sorted(downloads.iterdir()):
            self._bench.say(f"unpack {file.name.partition('_')[0]}")
            self._bench.run("dpkg-deb", "--extract", file, into)
        shutil.rmtree(downloads)

    def _update(self) -> None:
        with _APT:
            fresh = self._bench.lab / "tmp" / "apt-updated"
            if fresh.exists():
                return
            for folder in ("lists/partial", "cache/archives/partial"):
                (self._state / folder).mkdir(parents=True, exist_ok=True)
            (self._state / "status").touch()
            lines = [source.line("main non-free-firmware", f"[signed-by={KEYRING}] ") for source in sources()]
            (self._state / "sources.list").write_text("".join(f"{line}\n" for line in lines))
            self._bench.say("package lists")
            self._bench.run("apt-get", *self._options(), "--quiet=2", "update")
            fresh.touch()

    def _options(self) -> list[str]:
        state = self._state
        settings = {
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": "/dev/null",
            "Dir::Etc::sourcelist": state / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State": state,
            "Dir::State::lists": state / "lists",
            "Dir::State::status": state / "status",
            "Dir::Cache": state / "cache",
            "APT::Architecture": NATIVE,
            "APT::Architectures": ",".join(ARCHITECTURES),
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        }
        return [f"-o{name}={value}" for name, value in settings.items()]

    def _query(self, program: str, *arguments: str) -> str:
        command = [program, *self._options(), *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"{program} {' '.join(arguments)} ended with {done.returncode}", tail=done.stderr)
        return done.stdout
