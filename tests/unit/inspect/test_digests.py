"""No bytes are digested more often than there are places that tell their digest: it is what reading takes longest."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from ci.inspect.inspect import inspect_path
from ci.inspect.limits import KIB, MIB
from ci.inspect.models import UkiFacts
from tests.unit.inspect import sample_media, samples
from tests.unit.inspect.samples import File

if TYPE_CHECKING:
    from pathlib import Path

    from ci.inspect.models import Inspection

UKI = samples.uki(samples.kernel(payload=os.urandom(2 * MIB)), samples.cpio([File("init", b"x")]))
MEDIA = [File("EFI/Linux/Talos-v1.13.6.efi", UKI)]
DISK = sample_media.gpt([(sample_media.ESP, "EFI", sample_media.fat(MEDIA))])
ARCHIVE = samples.installer(UKI, samples.boot_loader()).archive()
#: Of the UKI as a file, and of its sections.
ONCE_EACH = 2


class Digested:
    """Counts the bytes that go through SHA-256."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        real = hashlib.sha256
        count = self

        class Counting:
            def __init__(self, data: bytes = b"") -> None:
                self._digest = real(data)
                count.bytes += len(data)

            def update(self, data: bytes) -> None:
                self._digest.update(data)
                count.bytes += len(data)

            def hexdigest(self) -> str:
                return self._digest.hexdigest()

        monkeypatch.setattr(hashlib, "sha256", Counting)


def uki_in(inspection: Inspection) -> tuple[Inspection, UkiFacts]:
    for _, node in inspection.walk():
        if isinstance(node.facts, UkiFacts):
            return node, node.facts
    raise AssertionError("no unified kernel image was found")


@pytest.mark.parametrize(
    ("data", "of_the_uki"),
    [
        (DISK, ONCE_EACH),
        (sample_media.iso(MEDIA), ONCE_EACH),
        # The layer is digested as it is, and as it is expanded.
        (ARCHIVE, ONCE_EACH + 2),
    ],
    ids=["disk", "iso", "installer"],
)
def test_a_boot_image_is_digested_once_as_a_file_and_once_in_its_sections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, of_the_uki: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    digested = Digested(monkeypatch)
    found, facts = uki_in(inspect_path(path))
    monkeypatch.undo()
    assert digested.bytes <= len(data) + of_the_uki * len(UKI) + 128 * KIB
    assert found.sha256 == samples.sha(UKI)
    sections = {section.name: section.sha256 for section in facts.sections if section.name in (".linux", ".initrd")}
    assert {part.name: part.sha256 for part in found.contents} == sections
