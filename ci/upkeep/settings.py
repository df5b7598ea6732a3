"""What a user fills into the CI files: which module the calls name, what a release builds, where it is published.

module  = path "@" version        github.com/OWNER/cozystack-talos@v0.1.0, also https://… and git@HOST:…
        | "." or "./…" or "../…"  a folder of the repository
folder  = names, "/" between      variants, talos/variants
dagger  = number "." number "." number ["-" pre-release], "v" may be in front
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ci.common.errors import FileError
from ci.upkeep.description import ENGINE

if TYPE_CHECKING:
    from ci.common.arch import Arch
    from ci.upkeep.description import Dagger

#: All of it goes through shells without quotes.
_WORD: Final = r"[A-Za-z0-9_.+/-]"
_REMOTE: Final = re.compile(
    rf"(?=[^@]*/|git@.*/)(?:https://|ssh://)?(?:git@)?[A-Za-z0-9]{_WORD}*(?::{_WORD}+)?@[A-Za-z0-9]{_WORD}*"
)
_LOCAL: Final = re.compile(rf"\.{{1,2}}(?:/{_WORD}*)?")
_FOLDER: Final = re.compile(r"(?:\./)?[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*/?")
_NUMBER: Final = "(?:0|[1-9][0-9]*)"
_VERSION: Final = re.compile(rf"v?(?P<version>(?P<numbers>{_NUMBER}(?:\.{_NUMBER}){{2}})(?P<before>-[0-9A-Za-z.-]+)?)")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")

#: From here on, `call` is `api call`.
_API_CALL: Final = (1, 0, 0)


@dataclass(frozen=True)
class DaggerRelease:
    """The version of Dagger that the files run."""

    version: str
    #: SHA-256 of the command line's archive; `None`: the jobs look it up among the release's published checksums.
    sha256: str | None
    #: The engine's image, which holds the command line too.
    engine: str

    @property
    def verb(self) -> str:
        """The words of the command line that call a function."""
        return "api call" if _order(self.version)[0] >= _API_CALL else "call"


@dataclass(frozen=True)
class Settings:
    """What one user's files say."""

    variants: tuple[str, ...]
    dagger: DaggerRelease
    #: Names of outputs, as `--outputs` takes them.
    outputs: tuple[str, ...]
    #: How the calls name this module; `None`: the repository is a checkout of it.
    module: str | None = None
    #: Folder of the user's own variants in the repository.
    variants_folder: str | None = None
    #: Registry and folder that a release publishes to; `None`: the vendor's own registry, if it has one.
    address: str | None = None
    release: str | None = None
    arch: str | None = None
    #: The arguments of `ci-files` that these settings were made from, without `--vendor`, as words.
    given: str = ""

    @property
    def options(self) -> str:
        """The global options of every call."""
        given = {"--variants": self.variants_folder, "--release": self.release, "--arch": self.arch}
        return " ".join(f"{option} {value}" for option, value in given.items() if value)

    @property
    def call(self) -> str:
        """What comes between `dagger` and the name of a function."""
        module = f"-m {self.module}" if self.module else ""
        return " ".join(part for part in (self.dagger.verb, module, self.options) if part)


def parse_module(text: str) -> str:
    """Return a reference to this module; raises `FileError` for one without a version."""
    if _REMOTE.fullmatch(text) or _LOCAL.fullmatch(text):
        return text
    raise FileError(
        "--module",
        None,
        f"bad reference {text!r}: write a git repository with a version, such as "
        "github.com/OWNER/cozystack-talos@v0.1.0, or a folder of your repository, such as ./cozystack-talos",
    )


def parse_folder(text: str) -> str:
    """Return a folder within the repository; raises `FileError` for a path that leads elsewhere."""
    if not _FOLDER.fullmatch(text):
        raise FileError(
            "--variants-folder", None, f"bad folder {text!r}: write its path in your repository, such as talos/variants"
        )
    return text.removeprefix("./").rstrip("/")


def parse_dagger(version: str | None, checksum: str | None, pinned: Dagger, arch: Arch) -> DaggerRelease:
    """Return the release of Dagger that the files run: the pinned one, or the version that was asked for.

    The checksum is that of the command line's archive for the architecture of the machines that run the jobs. Raises
    `FileError` for what is not a version, for one that is older than the pinned one, and for a bad checksum.
    """
    known = DaggerRelease(pinned.version, pinned.cli[arch], pinned.engine)
    if checksum is not None and not _SHA256.fullmatch(checksum):
        reason = f"bad SHA-256 {checksum!r}: write 64 hexadecimal digits, in lower case"
        raise FileError("--dagger-checksum", None, reason)
    if version is None and checksum is None:
        return known
    if version is None:
        raise FileError("--dagger-checksum", None, "no version is given: add --dagger VERSION")
    match = _VERSION.fullmatch(version)
    if not match:
        reason = f"bad version {version!r}: write one like {pinned.version}"
        raise FileError("--dagger", None, reason)
    if _order(version) < _order(pinned.version):
        reason = f"Dagger {match['version']} is older than {pinned.version}, which this module needs"
        raise FileError("--dagger", None, reason)
    if match["version"] == pinned.version:
        return known
    return DaggerRelease(match["version"], checksum, f"{ENGINE}:v{match['version']}")


def _order(version: str) -> tuple[tuple[int, ...], bool]:
    """Return what versions are compared by; a pre-release comes before its release."""
    match = _VERSION.fullmatch(version)
    assert match
    return tuple(int(number) for number in match["numbers"].split(".")), match["before"] is None
