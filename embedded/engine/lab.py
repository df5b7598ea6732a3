"""The engine's side of the lab: an image is made from packages when it is first asked for.

Only what the lab stands in for is pulled while it is in use: a real image between stand-ins would be a mixture that
nobody asked for.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from embedded.engine.api.references import Reference
from embedded.engine.errors import EngineError
from embedded.engine.events import OnStep, StepEvent
from embedded.engine.life.config import MIRRORED
from embedded.lab.published import STOOD_IN_FOR

CHECKOUTS = "lab/checkouts"
"""Below the cache folder: links to the stand-ins for a checkout of CozyStack, by Talos version."""
DEFAULT_CHECKOUT = "v1.13.6"
PACKAGES = "workloads"
PACKAGES_BEFORE = "workloads-before"
"""Those of CozyStack's packages, and of the packages of a release before."""
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class _Said:
    """The lab's step, as an event of the session."""

    def __init__(self, progress: LabProgress, event: StepEvent) -> None:
        self._progress = progress
        self._event = event

    def say(self, text: str) -> None:
        self._progress.report(replace(self._event, log=text.rstrip("\n") + "\n"))


class LabProgress:
    """Shows the lab's work as steps of the session, from the threads in which it is done."""

    def __init__(self, on_step: OnStep) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_step = on_step
        self._numbers = itertools.count()

    def report(self, event: StepEvent) -> None:
        self._loop.call_soon_threadsafe(self._on_step, event)

    @contextmanager
    def step(self, name: str) -> Generator[_Said]:
        event = StepEvent(id=f"lab:{next(self._numbers)}", name=f"lab: {name}", started=time.time())
        self.report(event)
        try:
            yield _Said(self, event)
        except BaseException as error:
            self.report(replace(event, completed=time.time(), error=str(error) or type(error).__name__))
            raise
        self.report(replace(event, completed=time.time()))


class LabImages:
    """Has images made before they are pulled."""

    def __init__(self, registry: str, cache: Path, on_step: OnStep) -> None:
        self._registry = registry
        self._checkouts = cache / CHECKOUTS
        self._progress = LabProgress(on_step)
        self._lock = asyncio.Lock()
        self._made: dict[tuple[str, str], str] = {}

    async def prepare(self, reference: Reference, platform: str) -> Reference:
        """Make the image for a platform if the lab has it; refuse what the lab does not stand in for.

        Return what to pull: of a published image that is named by its digest too, the lab's image of that tag, by the
        digest that this has.
        """
        if reference.registry.rpartition(":")[0] in LOOPBACK or reference.registry in LOOPBACK:
            return reference
        if reference.registry not in MIRRORED:
            raise EngineError(
                f"with --lab nothing is pulled from {reference.registry}: {reference}",
                "The lab stands in for " + ", ".join(MIRRORED) + "; leave out --lab to use real images.",
            )
        name = str(replace(reference, digest=""))
        if not reference.tag:  # its tag was looked up before, perhaps for another platform
            from embedded import lab

            found = await asyncio.to_thread(lab.builder().by_digest, name, reference.digest)
            if found is None:
                return reference
            name = found
        made = await self.make(name, platform.split("/")[1])
        return replace(reference, digest=made) if str(reference) in STOOD_IN_FOR else reference

    async def prepare_folder(self, path: Path) -> None:
        """Make the lab's checkout if this is the path of one, and lead the path to it."""
        if path.parent != self._checkouts:
            return
        await self.make(f"part/checkout/{path.name}")
        from embedded import lab

        self._checkouts.mkdir(parents=True, exist_ok=True)
        link = path.with_name(f".{path.name}.{os.getpid()}")
        link.symlink_to(lab.checkout_path(path.name))
        link.replace(path)

    async def make(self, name: str, architecture: str = "") -> str:
        """Make one image, or part, of the lab; its content for one architecture where that can be made by itself.

        Return an image's digest.
        """
        from embedded import lab

        async with self._lock:
            if (name, architecture) in self._made:
                return self._made[name, architecture]
            try:
                results = await asyncio.to_thread(
                    lab.ensure,
                    [name],
                    architectures=[architecture],
                    registry=self._registry,
                    progress=self._progress,
                )
            except asyncio.CancelledError:
                lab.stop()  # the thread goes on else, and this process waits for it
                raise
            except lab.LabError as error:
                raise EngineError(str(error)) from None
            image: dict[str, str] = results[name].value.get("image", {})
            return self._made.setdefault((name, architecture), image.get("digest", ""))
