"""The readers and independent tools agree on what was built.

Debian's tools run in a container that the engine makes; crane is looked for on this machine, and what `test` says of
images comes from crane too.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Protocol

import pytest

from ci.common import pins
from ci.inspect.inspect import inspect_path
from ci.inspect.models import ImageFacts, InitramfsFacts, IsoFacts, SquashfsFacts, UkiFacts
from tests.engine.built import Initramfs, expanded_frames
from tests.engine.media import iso_files
from tests.unit.inspect.samples import sha
from tests.unit.tools import needs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.built import Built
    from tests.engine.conftest import Call

PACKAGES = "cpio squashfs-tools genisoimage binutils-aarch64-linux-gnu"
INSTALL = f"apt-get -qq update && apt-get -qq install --yes --no-install-recommends {PACKAGES} >/dev/null"


class Tools(Protocol):
    """Runs a script in a folder where Debian's tools are, and gives what it prints in parts: `== NAME` begins one."""

    def __call__(self, folder: Path, script: str) -> dict[str, list[str]]: ...


@pytest.fixture(scope="module")
def tools(core: Call) -> Tools:
    def run(folder: Path, script: str) -> dict[str, list[str]]:
        (folder / "script.sh").write_text(f"set -eu\n{script}")
        done = core(
            *("container", "from", "--address", pins.PYTHON, "with-exec", "--args", f"sh,-ec,{INSTALL}"),
            *("with-mounted-directory", "--path", "/work", "--source", folder, "with-workdir", "--path", "/work"),
            *("with-exec", "--args", "sh,script.sh", "stdout"),
        )
        assert done.returncode == 0, done.stderr
        parts = re.split(r"^== (.*)\n", done.stdout, flags=re.MULTILINE)[1:]
        return {name: text.splitlines() for name, text in zip(parts[::2], parts[1::2], strict=True)}

    return run


def test_cpio_lists_the_same_initramfs(spin_only: Built, tmp_path: Path, tools: Tools) -> None:
    path = spin_only.root / "boot/initramfs.xz"
    facts = inspect_path(path).facts
    assert isinstance(facts, InitramfsFacts)
    expanded = expanded_frames(path.read_bytes())
    assert len(expanded) == len(facts.frames)
    for number, data in enumerate(expanded):
        (tmp_path / f"frame{number}").write_bytes(data)
    found = tools(
        tmp_path,
        'for frame in frame*; do echo "== $frame"; cpio --list --verbose --numeric-uid-gid --quiet <"$frame"; done\n',
    )
    assert len(found) == len(expanded)
    for number, frame in enumerate(facts.frames):
        rows = [re.split(r" +", line, maxsplit=8) for line in found[f"frame{number}"]]
        # Mode, links, owner, group, size, month, day, time or year, name and a link's target.
        listed = [(row[8].split(" -> ")[0], row[2], row[3]) for row in rows if row[8] != "."]
        assert [(entry.path, str(entry.uid), str(entry.gid)) for entry in frame.entries] == listed
        sizes = {row[8]: int(row[4]) for row in rows if row[0].startswith("-")}
        assert {entry.path: entry.size for entry in frame.entries if entry.type == "file"} == sizes


UNSQUASHFS = """
for image in *.sqsh; do
    echo "== $image list"
    unsquashfs -l -d '' "$image"
    unsquashfs -q -n -d out "$image" >/dev/null
    echo "== $image files"
    (cd out && find . -type f -printf '%m ' -exec sha256sum {} ';')
    echo "== $image links"
    (cd out && find . -type l -printf '%P -> %l\\n')
    rm -rf out
done
"""


def test_unsquashfs_lists_and_unpacks_the_same_extensions(spin_only: Built, tmp_path: Path, tools: Tools) -> None:
    node = inspect_path(spin_only.root / "boot/initramfs.xz")
    images = {inner.name: inner.facts for inner in node.contents if isinstance(inner.facts, SquashfsFacts)}
    initramfs = Initramfs.parse((spin_only.root / "boot/initramfs.xz").read_bytes())
    names = [file.path for file in initramfs.files if file.path.endswith(".sqsh")]
    assert set(images) == {*names, "rootfs.sqsh"}
    for name in names:
        (tmp_path / name).write_bytes(initramfs[name])
    found = tools(tmp_path, UNSQUASHFS)
    for name in names:
        entries = images[name].entries
        listed = {line.strip("/") for line in found[f"{name} list"] if line.strip("/")}
        assert listed == {entry.path for entry in entries}
        rows = [line.split(maxsplit=2) for line in found[f"{name} files"]]
        files = {path.removeprefix("./"): (int(mode, 8), digest) for mode, digest, path in rows}
        assert {one.path: (one.mode, one.sha256) for one in entries if one.type == "file"} == files
        links = dict(line.split(" -> ") for line in found[f"{name} links"])
        assert {one.path: one.target for one in entries if one.type == "symlink"} == links


def test_objdump_sees_the_same_sections(spin_only: Built, tmp_path: Path, tools: Tools) -> None:
    path = spin_only.root / "uki/metal-arm64-uki.efi"
    facts = inspect_path(path).facts
    assert isinstance(facts, UkiFacts)
    (tmp_path / "uki.efi").write_bytes(path.read_bytes())
    text = "\n".join(tools(tmp_path, "echo '== sections'; aarch64-linux-gnu-objdump -h uki.efi\n")["sections"])
    rows = re.findall(r"^ +\d+ (\S+) +([0-9a-f]{8}) +\S+ +\S+ +([0-9a-f]{8})", text, re.MULTILINE)
    assert [(name, int(offset, 16)) for name, _, offset in rows] == [(s.name, s.offset) for s in facts.sections]


ISOINFO = """
echo '== list'
isoinfo -f -R -i image.iso
echo '== volume'
isoinfo -d -i image.iso
echo '== files'
while IFS= read -r path; do
    isoinfo -R -x "/$path" -i image.iso | sha256sum | tr -d '\\n'
    echo "$path"
done <files.txt
"""


def test_isoinfo_lists_the_same_iso_with_the_same_contents(spin_only: Built, tmp_path: Path, tools: Tools) -> None:
    path = spin_only.root / "iso/metal-arm64.iso"
    facts = inspect_path(path).facts
    assert isinstance(facts, IsoFacts)
    files = [entry for entry in facts.entries if entry.type == "file"]
    (tmp_path / "image.iso").write_bytes(path.read_bytes())
    (tmp_path / "files.txt").write_text("".join(f"{entry.path}\n" for entry in files))
    found = tools(tmp_path, ISOINFO)
    assert {line.strip("/") for line in found["list"] if line.strip("/")} == {entry.path for entry in facts.entries}
    assert f"Volume id: {facts.volume}" in found["volume"]
    ours = {name: sha(data) for name, data in iso_files(path).items()}
    assert sorted(ours) == sorted(entry.path for entry in files)
    assert dict(line.split("  -", 1)[::-1] for line in found["files"]) == ours


@needs("crane")
def test_crane_exports_the_same_installer(spin_only: Built, tmp_path: Path) -> None:
    path = spin_only.root / "installer/installer-arm64.tar"
    facts = inspect_path(path).facts
    assert isinstance(facts, ImageFacts)
    flat = tmp_path / "flat.tar"
    exported = subprocess.run(["crane", "export", "-", "-"], input=path.read_bytes(), capture_output=True, check=True)
    flat.write_bytes(exported.stdout)
    listed = subprocess.run(["tar", "-t", "-f", flat], capture_output=True, text=True, check=True).stdout.splitlines()
    names = {line.strip("/") for line in listed}
    folders = {entry.path for entry in facts.entries if entry.type == "directory"}
    assert {entry.path for entry in facts.entries} - folders == names - folders
