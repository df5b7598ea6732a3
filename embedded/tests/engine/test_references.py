"""Image references are completed as Docker does it, and refused with a reason."""

from __future__ import annotations

import pytest

from embedded.engine.api.references import parse_reference
from embedded.engine.errors import EngineError

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("debian", "docker.io/library/debian:latest"),
        ("debian:trixie-slim", "docker.io/library/debian:trixie-slim"),
        ("grafana/grafana", "docker.io/grafana/grafana:latest"),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000/x/y:1", "localhost:5000/x/y:1"),
        ("127.0.0.1:1/nothing/here:1", "127.0.0.1:1/nothing/here:1"),
        (f"ghcr.io/siderolabs/spin@{DIGEST}", f"ghcr.io/siderolabs/spin@{DIGEST}"),
        (f"ghcr.io/siderolabs/spin:v1@{DIGEST}", f"ghcr.io/siderolabs/spin:v1@{DIGEST}"),
    ],
)
def test_references_are_completed(text: str, full: str) -> None:
    assert str(parse_reference(text)) == full


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Not A Ref", "must be lowercase"),
        ("ghcr.io/Upper/x", "must be lowercase"),
        ("", "must be lowercase"),
        ("debian:!", "a character that tags can't have"),
        ("debian@sha256:12", "64 hexadecimal digits"),
    ],
)
def test_bad_references_are_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(EngineError, match=reason):
        parse_reference(text)
