"""Image configs as anybody can write them."""

from __future__ import annotations

from typing import Any

import pytest

from embedded.engine.api.images import with_config
from embedded.engine.api.values import Container
from embedded.engine.errors import EngineError


@pytest.mark.parametrize(
    "config",
    [
        {"config": "x"},
        {"config": {"Env": 1}},
        {"config": {"Env": [1]}},
        {"config": {"Entrypoint": 5}},
        {"config": {"Labels": ["a"]}},
        {"architecture": 5, "os": ["linux"]},
        [],
        "x",
        None,
    ],
)
def test_a_config_that_is_none_names_its_image(config: Any) -> None:
    with pytest.raises(EngineError) as caught:
        with_config(Container("linux/arm64"), config, "host/a:1\x1b[2J")
    assert caught.value.message == "the config of the image host/a:1\\x1b[2J is not one"
    assert "image-spec" in caught.value.hint


def test_an_empty_config_is_one() -> None:
    assert with_config(Container("linux/arm64"), {}, "a").platform == "linux/arm64"
