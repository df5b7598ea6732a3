"""Every function that asks a registry logs in first where --registry and its login are given."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ci.execute import inputs, updating
from ci.execute.registry import Login
from ci.main import CozystackTalos

SECRET = cast("Any", object())


class AskedError(Exception):
    """Something was asked of the engine."""


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("inspect", {"image": "registry.example.com/a:b"}),
        ("verify", {"image": "registry.example.com/a:b"}),
        ("diff", {"before_image": "registry.example.com/a:b", "after_image": "registry.example.com/a:c"}),
        ("plan", {"variant": "spin-only"}),
        ("build", {"variant": "spin-only"}),
        ("schematic", {"variant": "spin-only"}),
        ("installer", {"variant": "spin-only"}),
        ("images", {"variant": "spin-only"}),
        ("reproduce", {"variant": "spin-only"}),
        ("machine_config", {"variant": "spin-only"}),
        ("boot", {"variant": "spin-only"}),
        ("outdated", {}),
        ("update", {"source": cast("Any", None)}),
    ],
)
async def test_a_login_is_given_to_the_engine_before_anything_is_asked(
    function: str, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    async def log_in(login: Login) -> None:
        happened.append(login.address)

    async def asked(*_: object, **__: object) -> Any:
        raise AskedError

    monkeypatch.setattr(Login, "log_in", log_in)
    for module in (inputs, updating):
        monkeypatch.setattr(module, "load_checkout", asked)
    monkeypatch.setattr(inputs, "read_local_images", asked)
    monkeypatch.setattr("ci.execute.examine.subject", asked)
    module: Any = CozystackTalos(
        upstream=None, registry="registry.example.com", registry_username="me", registry_password=SECRET
    )
    with pytest.raises(AskedError):
        await getattr(module, function)(**arguments)
    assert happened[:1] == ["registry.example.com"]
