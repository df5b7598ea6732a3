"""Runs the recorded profiles and compares what every record has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from embedded.tests.lab_imager.records import golden
from embedded.tests.lab_imager.runners import NOBODY

if TYPE_CHECKING:
    from embedded.tests.lab_imager.inputs import Inputs
    from embedded.tests.lab_imager.runners import Result, RootRunner

EPOCH = 1_700_000_000
ENVIRONMENT = {"SOURCE_DATE_EPOCH": str(EPOCH), "TZ": "UTC"}
VERSIONS = ["v1.13.6", "v1.11.3"]

# (record, field) → why the lab's imager differs there.
DIFFERENCES = {
    (
        "initramfs",
        "entries: nlink of folders",
    ): "cpio 2.15 of trixie writes 2 for each; in the records it counts subfolders",
    ("iso", "boot_report: Preparer Id"): "names the version of xorriso: 1.5.6 in Debian trixie, 1.5.4 in the record",
    ("iso", "files: /boot/grub"): "Debian's build of GRUB 2.12 has other modules, its package no translations here",
    ("iso", "files: grub.cfg"): "same entries and arguments; the blanks are the lab's own",
    ("uki", "text: .sbat"): "is the stub's own, which may be a newer build of systemd 257",
    ("uki", "sections: .splash"): "same class of size; the picture is the lab's own",
    ("metal", "loader.conf"): "same settings and size; the comment is the lab's own",
    ("metal", "blocks"): "only what is not zero takes room; the real imager writes the zeros of the partition out",
}


class Goldens:
    """Runs recorded profiles, each once, with their outputs where the records' later profiles look for them."""

    def __init__(self, root: RootRunner, inputs: Inputs) -> None:
        self.root = root
        self.inputs = inputs
        self._done: dict[tuple[str, str], Result] = {}

    def run(self, version: str, name: str) -> tuple[dict[str, Any], Result]:
        """Returns a record and a run of its profile."""
        record: dict[str, Any] = golden(version, name)
        if (version, name) not in self._done:
            if "B-initramfs/" in record["profile"]:
                self.run(version, "initramfs")
            case = re.search(r"^output asset path: LAB/out/([^/]+)/", "\n".join(record["stderr_lines"]), re.MULTILINE)
            assert case is not None
            # The record's later profiles take the same initramfs from a run of its own.
            folder = case[1].replace("A-initramfs", "B-initramfs")
            # An ISO's files belong to who made it, and the records were made by root.
            uid = 0 if name == "iso" else NOBODY
            result = self.root.run(folder, record["profile"], version, environment=ENVIRONMENT, uid=uid)
            assert result.exit_code == 0, result.stderr
            self._done[version, name] = result
        return record, self._done[version, name]


def check_common(record: dict[str, Any], result: Result) -> None:
    """Compares what every record has: file name, size class, first bytes, words."""
    said = [line.rstrip() for line in result.stderr.splitlines()]
    expected = [line.replace("A-initramfs", "B-initramfs") for line in record["stderr_lines"]]
    if record["kind"] == "iso":
        said, expected = ([re.sub(r"size \d+ MB", "size N MB", line) for line in lines] for lines in (said, expected))
    assert said == expected
    assert result.stdout.splitlines() == record["stdout_lines"]
    assert result.file.name == record["output_file"]
