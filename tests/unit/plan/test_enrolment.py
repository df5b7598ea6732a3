"""Which signed disk images have the keys that a machine enrols: the plan says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ci.plan.model import SecureBoot
from ci.plan.quirks import quirks
from tests.unit.planning import plan_of, request

OUTPUTS = ("uki", "iso", "metal.raw", "nocloud.raw")
HAS = "has the keys that a machine enrols, as the ISO image has (loader/keys/auto)"
HAS_NOT = "has no keys to enrol: a machine boots the signed ISO image once before it"


@pytest.mark.parametrize(
    ("talos", "said"), [("v1.12.6", HAS_NOT), ("v1.13.9", HAS_NOT), ("v1.14.0-rc.1", HAS), ("v1.15.0", HAS)]
)
async def test_a_signed_disk_image_says_whether_it_has_keys(talos: str, said: str) -> None:
    assert quirks(talos).signed_disk_image_enrolls_keys is (said == HAS)
    given = request(outputs=OUTPUTS)
    upstream = replace(given.upstream, talos_version=talos)
    plan = await plan_of(replace(given, upstream=upstream, secure_boot=SecureBoot(certificate="a" * 64)))
    notes = {output.name: [note for note in output.notes if note in (HAS, HAS_NOT)] for output in plan.outputs}
    assert notes == {"uki": [], "iso": [], "metal.raw": [said], "nocloud.raw": [said]}
    unsigned = await plan_of(replace(given, upstream=upstream))
    assert not {HAS, HAS_NOT} & {note for output in unsigned.outputs for note in output.notes}
