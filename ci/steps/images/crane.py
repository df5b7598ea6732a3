"""What crane reports of an image in a file, read from a separate registry on loopback."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tarfile
import threading
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final

from ci.common.errors import BuildError
from ci.common.filenames import CHECKSUMS
from ci.verify.checks_images import ASSETS, FoundImage, ImageEntry

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

CRANE: Final = "crane"
_SECONDS: Final = 600
_CHUNK: Final = 1 << 20
_LONGEST_TEXT: Final = 1 << 20


def _ended(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [*words], capture_output=True, encoding="utf-8", errors="backslashreplace", check=False, timeout=_SECONDS
    )


def run(*words: str | Path, name: str) -> str:
    """Return what a command prints; raises `BuildError` with what it complains of."""
    done = _ended(*words)
    if done.returncode != 0:
        raise BuildError(f"{name}: `{' '.join(map(str, words))}` fails: {done.stderr.strip()}")
    return done.stdout


@contextmanager
def serving(folder: Path) -> Generator[str]:
    """Run a registry that keeps its blobs in a folder, and give its address."""
    folder.mkdir()
    command = [CRANE, "registry", "serve", "--address", "127.0.0.1:0", "--disk", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            log = process.stderr
            assert log is not None
            found = next((match for line in log if (match := re.search(r"serving on port (\d+)", line))), None)
            if found is None:
                raise BuildError("`crane registry serve` does not say its port")
            # It logs each request, and would end at a pipe that nobody reads.
            threading.Thread(target=log.read, daemon=True).start()
            yield f"127.0.0.1:{found[1]}"
        finally:
            process.terminate()


def find(image: Path, name: str, scratch: Path) -> FoundImage:
    """Return what crane says of an image: an OCI layout's folder, or an archive of `docker save` or of a layout."""
    whole = _is_layout(image)
    if image.is_file() and whole:
        image = _unpacked(image, scratch / "layout")
    with serving(scratch / "registry") as address:
        reference = f"{address}/image:it"
        run(CRANE, "push", image, reference, name=name)
        manifest: Any = json.loads(run(CRANE, "manifest", reference, name=name))
        config: Any = json.loads(run(CRANE, "config", reference, name=name))
        digest = run(CRANE, "digest", reference, name=name).strip()
        checked = _ended(CRANE, "validate", "--remote", reference)
        flat = scratch / "flat.tar"
        run(CRANE, "export", reference, flat, name=name)
    listed = {
        line.rstrip("/") for line in run("tar", "--quoting-style=literal", "-tf", flat, name=name).splitlines()
    } - {"", "."}
    entries, checksums = _entries(flat)
    if listed != entries.keys():
        odd = ", ".join(sorted(map(repr, listed ^ entries.keys()))[:5])
        raise BuildError(f"{name}: `tar -tf` and Python do not list the same files: {odd}")
    settings: dict[str, Any] = config.get("config") or {}
    platform = [config.get("os"), config.get("architecture"), config.get("variant")]
    return FoundImage(
        platform="/".join(part for part in platform if part),
        labels=settings.get("Labels") or {},
        annotations=manifest.get("annotations") or {},
        digest=digest,
        complaint=checked.stderr.strip() if checked.returncode != 0 else "",
        entrypoint=tuple(settings.get("Entrypoint") or ()),
        entries=entries,
        checksums=checksums,
    )


def _is_layout(image: Path) -> bool:
    if image.is_dir():
        return True
    try:
        with tarfile.open(image) as archive:
            return any(member.name.removeprefix("./") == "oci-layout" for member in archive)
    except (tarfile.TarError, OSError) as error:
        raise BuildError(f"{image.name}: is not an image archive: {error}") from None


def _unpacked(archive: Path, folder: Path) -> Path:
    folder.mkdir()
    with tarfile.open(archive) as members:
        members.extractall(folder, filter="data")
    return folder


def _entries(flat: Path) -> tuple[dict[str, ImageEntry], str | None]:
    entries: dict[str, ImageEntry] = {}
    checksums: str | None = None
    with tarfile.open(flat, encoding="utf-8", errors="backslashreplace") as archive:
        for member in archive:
            path = member.name.rstrip("/")
            content = archive.extractfile(member) if member.isreg() else None
            if content is not None and path == ASSETS + CHECKSUMS and member.size <= _LONGEST_TEXT:
                text = content.read()
                entries[path] = ImageEntry(type="file", sha256=hashlib.sha256(text).hexdigest())
                checksums = text.decode(errors="replace")
            elif content is not None:
                entries[path] = ImageEntry(type="file", sha256=_digest(content))
            else:
                entries[path] = ImageEntry(type=_type(member), target=member.linkname or None)
    return entries, checksums


def _digest(content: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := content.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _type(member: tarfile.TarInfo) -> str:
    kinds = {tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink"}
    return kinds.get(member.type, "special file")


def unpack(flat: Path, below: str, folder: Path) -> None:
    """Write the regular files below a folder of what `find` exported."""
    with tarfile.open(flat) as archive:
        for member in archive:
            if member.isreg() and member.name.startswith(below):
                member.name = member.name.removeprefix(below)
                archive.extract(member, folder, filter="data")
