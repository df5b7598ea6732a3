"""OCI layouts and tar files: what is taken from them, and what their faults are called."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from embedded.lab.imager.errors import ImagerError
from embedded.lab.imager.oci import flattened, pull
from embedded.lab.imager.profile import ContainerAsset
from embedded.lab.imager.untar import tarball_members, untar
from embedded.tests.lab_imager.tars import File, oci_layout, tar_bytes


def silent(_: str) -> None: ...


def unpack(layout: Path, target: Path) -> dict[str, str]:
    """Flattens a layout's image into a folder and returns the files' texts."""
    target.mkdir()
    untar(flattened(pull(ContainerAsset(oci_path=str(layout)), "arm64", silent)), target)
    return {str(path.relative_to(target)): path.read_text() for path in sorted(target.rglob("*")) if path.is_file()}


def test_upper_layers_hide_what_they_replace_and_delete(tmp_path: Path) -> None:
    lower = tar_bytes(
        [File("a/keep", b"lower"), File("a/changed", b"lower"), File("gone", b"x"), File("d/inside", b"x")]
    )
    upper = tar_bytes([File("a/changed", b"upper"), File(".wh.gone", b""), File(".wh.d", b"")])
    layout = oci_layout(tmp_path / "oci", [lower, upper])
    assert unpack(layout, tmp_path / "root") == {"a/changed": "upper", "a/keep": "lower"}


def test_layer_that_ends_too_early_is_an_unexpected_eof(tmp_path: Path) -> None:
    layout = oci_layout(tmp_path / "oci", [tar_bytes([File("a", bytes(range(256)) * 4096)])])
    blob = max((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(blob.read_bytes()[:-200])
    with pytest.raises(ImagerError, match="unexpected EOF"):
        unpack(layout, tmp_path / "root")


def test_missing_blob_is_named(tmp_path: Path) -> None:
    layout = oci_layout(tmp_path / "oci", [tar_bytes([File("a", b"x" * 9000)])])
    (blob,) = [path for path in (layout / "blobs/sha256").iterdir() if path.read_bytes().startswith(b"\x1f\x8b")]
    blob.unlink()
    with pytest.raises(ImagerError) as raised:
        unpack(layout, tmp_path / "root")
    assert str(raised.value) == f"open {blob}: no such file or directory"


@pytest.mark.parametrize("change", [("diff_ids", "others"), ("layers", "more"), ("digest", "sum")])
def test_documents_that_lack_what_they_must_have_are_an_error(tmp_path: Path, change: tuple[str, str]) -> None:
    layout = oci_layout(tmp_path / "oci", [tar_bytes([File("a", b"x")])])
    for path in (layout / "blobs/sha256").iterdir():
        if path.read_bytes().startswith(b"{"):
            path.write_text(path.read_text().replace(*change))
    with pytest.raises(ImagerError, match="error opening OCI image: "):
        unpack(layout, tmp_path / "root")


def test_unpacked_folders_are_open_to_their_owner_and_files_keep_their_mode(tmp_path: Path) -> None:
    data = tar_bytes([File("d/f", b"x", mode=0o4711), File("d/link", link="f")])
    with io.BytesIO(data) as raw, tarfile.open(fileobj=raw) as archive:
        members = list(archive.getmembers())
        members[0].mode = 0o055
        pairs = [(member, archive.extractfile(member) if member.isreg() else None) for member in members]
        (tmp_path / "root").mkdir()
        untar(pairs, tmp_path / "root")
    assert (tmp_path / "root/d").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "root/d/f").stat().st_mode & 0o7777 == 0o4711
    assert (tmp_path / "root/d/link").readlink() == Path("f")


def test_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "in.tar").write_bytes(tar_bytes([File("../../evil", b"x")]))
    with (tmp_path / "in.tar").open("rb") as file:
        untar((pair for pair in tarball_members(file) if pair[0].isreg()), tmp_path / "root")
    assert (tmp_path / "root/evil").exists()


def test_same_name_twice_is_an_error(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "in.tar").write_bytes(tar_bytes([File("f", b"1"), File("f", b"2")]))
    with (tmp_path / "in.tar").open("rb") as file, pytest.raises(ImagerError) as raised:
        untar(tarball_members(file), root)
    assert str(raised.value) == f'error creating file "{root}/f" mode -rw-r--r--: open {root}/f: file exists'


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"x" * 100, "error reading tar header: unexpected EOF"),
        (b"x" * 5000, "error reading tar header: archive/tar: invalid tar header"),
    ],
)
def test_what_is_no_tar_is_named(tmp_path: Path, data: bytes, error: str) -> None:
    (tmp_path / "in.tar").write_bytes(data)
    with (tmp_path / "in.tar").open("rb") as file, pytest.raises(ImagerError) as raised:
        untar(tarball_members(file), tmp_path)
    assert str(raised.value) == error


def test_tar_that_ends_inside_a_file_is_an_unexpected_eof(tmp_path: Path) -> None:
    (tmp_path / "in.tar").write_bytes(tar_bytes([File("f", b"x" * 5000)])[:2000])
    root = tmp_path / "root"
    root.mkdir()
    with (tmp_path / "in.tar").open("rb") as file, pytest.raises(ImagerError) as raised:
        untar(tarball_members(file), root)
    assert str(raised.value) == f'error copying data to "{root}/f": unexpected EOF'
