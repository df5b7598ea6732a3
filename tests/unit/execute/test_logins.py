"""Every function that asks a registry logs in first where --registry and its login are given."""

from __future__ import annotations

import inspect
from typing import Any, cast

import pytest

from ci.execute import inputs
from ci.execute.registry import Login
from ci.main import CozystackTalos

SECRET = cast("Any", object())


class AskedError(Exception):
    """Something was asked of the engine."""


#: Arguments that functions need before they ask anything.
GIVEN: dict[str, Any] = {
    "variant": "spin-only",
    "image": "registry.example.com/a:b",
    "before_image": "registry.example.com/a:b",
    "after_image": "registry.example.com/a:c",
    "address": "registry.example.com/x",
    "vendor": ["github"],
    "before_upstream": cast("Any", object()),
}
#: Those that ask no registry: they print what is in this project, or write files of it.
ASKING_NOTHING = {"variants", "ci_files"}
FUNCTIONS = sorted(
    name
    for name, method in inspect.getmembers(CozystackTalos, inspect.isfunction)
    if hasattr(method, "__wrapped__") and not name.startswith("_")
)


def arguments_of(function: str) -> dict[str, Any]:
    """Give what a function requires, and the images that it looks up."""
    parameters = inspect.signature(getattr(CozystackTalos, function)).parameters
    return {
        name: GIVEN.get(name)
        for name, parameter in parameters.items()
        if name != "self" and (parameter.default is inspect.Parameter.empty or name.endswith("image"))
    }


def test_all_functions_are_found() -> None:
    assert {"build", "publish", "inspect", "verify", "diff", "outdated", "update", "matchbox"} <= set(FUNCTIONS)


@pytest.mark.parametrize("function", [name for name in FUNCTIONS if name not in ASKING_NOTHING])
async def test_a_login_is_given_to_the_engine_before_anything_is_asked(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    async def log_in(login: Login) -> None:
        happened.append(login.address)

    async def asked(*_: object, **__: object) -> Any:
        raise AskedError

    monkeypatch.setattr(Login, "log_in", log_in)
    monkeypatch.setattr("ci.execute.load._open_checkout", asked)
    monkeypatch.setattr(inputs, "read_local_images", asked)
    monkeypatch.setattr("ci.execute.examine.subject", asked)
    monkeypatch.setattr("ci.execute.selftest.unit_tests", asked)
    for name in ("release_tag", "tools"):
        monkeypatch.setattr(f"ci.execute.workloads.{name}", asked)
    module: Any = CozystackTalos(
        upstream=None, registry="registry.example.com", registry_username="me", registry_password=SECRET
    )
    with pytest.raises(AskedError):
        await getattr(module, function)(**arguments_of(function))
    assert happened[:1] == ["registry.example.com"]
