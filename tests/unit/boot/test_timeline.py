"""The picture of a boot: what it says, and that it is well-formed."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from ci.boot.model import BootVerdict, End, Ending
from ci.boot.reader import read_boot
from ci.boot.timeline import Bar, bars, step, timeline
from tests.unit.boot.requests import lines, request

SVG = "{http://www.w3.org/2000/svg}"


def booted() -> BootVerdict:
    return read_boot(lines("talos-v1.13.6-arm64"), request())


def failed() -> BootVerdict:
    return read_boot(lines("talos-v1.11.6-no-root"), request(), Ending(End.DEADLINE, 300.0, 'QEMU "1" & <2>'))


def texts(picture: str) -> list[str]:
    return ["".join(node.itertext()) for node in ET.fromstring(picture).iter(f"{SVG}text")]


def test_each_stage_is_a_bar_from_the_one_before() -> None:
    assert [(bar.label, round(bar.start, 1), round(bar.end, 1)) for bar in bars(booted())] == [
        ("kernel starts", 0.0, 0.0),
        ("initramfs unpacked", 0.0, 2.6),
        ("init runs", 2.6, 2.9),
        ("extensions enabled", 2.9, 3.1),
        ("root entered", 3.1, 3.4),
        ("machine starts", 3.4, 4.1),
        ("machine is up", 4.1, 6.6),
    ]


def test_a_boot_that_failed_ends_with_what_went_wrong() -> None:
    assert bars(failed())[-1] == Bar("root-missing", 1.930004, 300.0, "end")


def test_the_picture_says_what_was_booted_and_how_it_went() -> None:
    said = texts(timeline(booted()))
    assert said[:2] == ["spin-only for arm64, booted from kernel", "booted after 6.6 s: the machine is up"]
    assert {"0 s", "2 s", "6 s", "machine is up", "6.6 s"} <= set(said)


def test_extensions_are_marks_with_their_names() -> None:
    marks = ET.fromstring(timeline(booted())).findall(f"{SVG}line[@class='mark']/{SVG}title")
    assert [mark.text for mark in marks] == [
        "modules.dep 6.18.38-talos, 3.1 s",
        "spin v0.25.1, 3.1 s",
        "zfs 2.4.3-v1.13.6, 3.1 s",
        "drbd 9.3.2-v1.13.6, 3.1 s",
    ]


def test_everything_lies_within_the_picture() -> None:
    for verdict in (booted(), failed()):
        root = ET.fromstring(timeline(verdict))
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for bar in root.iter(f"{SVG}rect"):
            assert float(bar.get("x", 0)) + float(bar.attrib["width"]) <= width
            assert float(bar.get("y", 0)) + float(bar.attrib["height"]) <= height


def test_what_others_wrote_stays_text() -> None:
    assert 'QEMU "1" & <2>' in texts(timeline(failed()))[1]


def test_stand_ins_say_so() -> None:
    said = texts(timeline(booted().model_copy(update={"stand_in": True})))
    assert said[0].endswith("(stand-ins)")


@pytest.mark.parametrize(("seconds", "expected"), [(0.1, 0.1), (6.6, 1), (16, 2), (47, 5), (120, 20), (300, 50)])
def test_ticks_are_round_numbers(seconds: float, expected: float) -> None:
    assert step(seconds) == expected
