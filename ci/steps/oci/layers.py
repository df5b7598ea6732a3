"""A folder's files as layers.

A file above a certain size has a separate layer, so that registries and nodes keep once what several images share; the
small ones share the first.
"""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Final

from ci.steps.normalise.files import NormaliseError
from ci.steps.oci.gzip_stored import StoredGzip

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Bytes from which on a file has its own layer.
OWN_LAYER: Final = 1 << 20


def layers_of(root: Path) -> list[list[PurePosixPath]]:
    """Return the files below a folder by layer, each a path relative to it; raises for what is no file or folder."""
    small: list[PurePosixPath] = []
    large: list[list[PurePosixPath]] = []
    for path in sorted(root.rglob("*"), key=str):
        name = PurePosixPath(path.relative_to(root))
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise NormaliseError(str(name), "is neither a file nor a folder, which is all that such an image holds")
        if path.is_file():
            if path.stat().st_size < OWN_LAYER:
                small.append(name)
            else:
                large.append([name])
    return [small, *large] if small else large


def write_layer(root: Path, files: Sequence[PurePosixPath], created: int, diff_ids: list[str], out: BinaryIO) -> None:
    """Write files, and the folders above them, as a tar: owned by root, 0644 and 0755, all of one time.

    The digest of the tar itself, which an image's configuration names, is added to `diff_ids`.
    """
    folders = {folder for file in files for folder in file.parents if folder.name}
    stream = StoredGzip(out)
    with stream, tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in sorted({*folders, *files}, key=str):
            info = tarfile.TarInfo(str(name))
            info.mtime = created
            if name in folders:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
                continue
            info.mode = 0o644
            with Path(root, name).open("rb") as content:
                info.size = Path(root, name).stat().st_size
                tar.addfile(info, content)
    diff_ids.append(f"sha256:{stream.content.hexdigest()}")
