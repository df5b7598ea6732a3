"""Stand-ins are published on this machine and nowhere else, whoever asks for it."""

from __future__ import annotations

import pytest

from embedded.engine.api.images import STAND_IN, refuse_stand_ins, with_config
from embedded.engine.api.references import parse_reference
from embedded.engine.api.values import Container, ImageSettings
from embedded.engine.errors import EngineError
from embedded.lab import oci

REAL = Container("linux/amd64")
MARKED = with_config(REAL, {"architecture": "amd64", "config": {"Labels": {oci.STAND_IN: oci.STAND_IN_WORD}}}, "a")


def test_the_mark_is_the_labs() -> None:
    assert STAND_IN == oci.STAND_IN
    assert MARKED.settings == ImageSettings(labels=((STAND_IN, "true"),))


@pytest.mark.parametrize("address", ["ghcr.io/me/x:1", "10.0.0.1:5000/x", "localhost.example.com/x", "me/x"])
def test_stand_ins_do_not_leave_this_machine(address: str) -> None:
    to = parse_reference(address)
    refuse_stand_ins([REAL], to)
    annotated = Container("linux/arm64", annotations=((STAND_IN, "true"),))
    for variants in ([MARKED], [REAL, MARKED], [annotated]):
        with pytest.raises(EngineError) as raised:
            refuse_stand_ins(variants, to)
        assert str(raised.value) == (
            f"this image is a stand-in from the lab, and {to.registry} is not on this machine\n"
            "Publish it to a registry on 127.0.0.1, or leave out --lab to make a real one."
        )


@pytest.mark.parametrize("address", ["127.0.0.1:5000/x:1", "localhost:5000/x", "localhost/x", "[::1]:5000/x"])
def test_stand_ins_may_go_to_a_registry_here(address: str) -> None:
    refuse_stand_ins([MARKED], parse_reference(address))
