"""An engine and a registry that only one file's tests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from embedded.engine.module import forkservers
from embedded.setup.paths import paths
from embedded.tests.engine.calls import COLD_SECONDS, IMAGE, Calls
from embedded.tests.engine.publishing import VARIANTS, Registry, serving
from embedded.tests.life.alone import alone


@pytest.fixture(scope="module")
def unused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calls]:
    """An engine that has made nothing yet; what set-up and the lab made is the machine's."""
    own, shared = tmp_path_factory.mktemp("cache") / "cozystack-talos", paths().cache
    own.mkdir()
    for name in ("setup", "lab", "modules", "uv-cache", "go"):
        (shared / name).mkdir(parents=True, exist_ok=True)
        (own / name).symlink_to(shared / name)
    try:
        with alone(Calls(own)) as calls:
            yield calls
    finally:
        forkservers.stop_all(own)


@pytest.fixture(scope="module")
def calls(unused: Calls) -> Calls:
    # BuildKit survives the call that starts it, so that is to be another than those which are looked at
    words = ["container", "from", "--address", IMAGE, "with-exec", "--args=true", "stdout"]
    first = unused.start("--lab", "-s", "core", *words)
    assert first.wait(COLD_SECONDS) == 0, "the lab's image can't be had"
    return unused


@pytest.fixture(scope="module")
def small() -> tuple[str, ...]:
    """The arguments for a variant with little in it."""
    return ("--variants", str(VARIANTS))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with serving(tmp_path_factory.mktemp("registry")) as registry:
        yield registry
