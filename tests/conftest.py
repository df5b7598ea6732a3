"""What all tests share."""

from __future__ import annotations

import gc
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

#: Where no test may be skipped under CI=true: what it would have shown is shown by nothing else.
_NEVER_SKIPPED = tuple(Path(__file__).parent / name for name in ("unit", "engine"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of git's list of files where there is no checkout, as in a container."""
    if (Path(__file__).parents[1] / ".git").exists():
        return
    left_out = [item for item in items if item.get_closest_marker("checkout")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have the garbage collector pass over what stays until the end: all modules, and thousands of tests.

    A library that reads programs collects after each of them, which took a third of the time of all unit tests.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under CI=true, let a test fail that is skipped for want of a program."""
    report = yield
    here = any(item.path.is_relative_to(folder) for folder in _NEVER_SKIPPED)
    if report.skipped and here and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI=true does not allow: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def no_engine_no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the unit test that opens a connection: to an engine, to a registry, to anything.

    The SDK finds its session by two environment variables and speaks TCP; taking both away leaves no way there. The
    failure is no `Exception`, so that no handler in the tested code can swallow it.
    """
    if request.node.get_closest_marker("engine"):
        yield
        return

    def refuse(_socket: socket.socket, address: object) -> NoReturn:
        pytest.fail(f"a unit test tried to connect to {address!r}: give it a fake, or mark it `engine`")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.delenv("DAGGER_SESSION_PORT", raising=False)
    monkeypatch.delenv("DAGGER_SESSION_TOKEN", raising=False)
    yield
