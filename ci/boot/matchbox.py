"""The Matchbox image, run next to the machine that boots from it: one container serves and boots, on any engine."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ci.boot import machine
from ci.boot.process import ended, started
from ci.common.errors import BootError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from ci.boot.model import BootRequest

#: Where CozyStack's image has what it serves.
DATA = "var/lib/matchbox"
_SECONDS = 20


def command(request: BootRequest, root: str) -> list[str]:
    """Serve an image's own data to the machine's network, and to nobody else."""
    return [
        *("chroot", root),
        *request.matchbox,
        f"-address=127.0.0.1:{machine.MATCHBOX_PORT}",
        f"-data-path=/{DATA}",
        f"-assets-path=/{DATA}/assets",
        "-log-level=debug",
    ]


def add_arguments(profile: str, arguments: tuple[str, ...]) -> str:
    """Return a Matchbox profile of which the kernel has further arguments."""
    document: dict[str, Any] = json.loads(profile)
    boot = document.setdefault("boot", {})
    boot["args"] = [*boot.get("args", ()), *arguments]
    return json.dumps(document, indent=2) + "\n"


@asynccontextmanager
async def matchbox(request: BootRequest, root: Path, say: Callable[[str], None]) -> AsyncGenerator[None]:
    """Serve an image's root file system for as long as the context lasts.

    The root is changed: its profiles get a serial console. Raises `BootError` where the server does not come up.
    """
    for profile in sorted((root / DATA / "profiles").glob("*.json")):
        profile.write_text(add_arguments(profile.read_text(), machine.further_arguments(request)))
    async with started(command(request, str(root))) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        shown = [asyncio.create_task(_show(stream, say)) for stream in (server.stdout, server.stderr)]
        try:
            await _answering(server)
            yield
        finally:
            await ended(*shown)


async def _show(stream: asyncio.StreamReader, say: Callable[[str], None]) -> None:
    while line := await stream.readline():
        say("matchbox: " + line.decode(errors="replace").rstrip())


async def _answering(server: asyncio.subprocess.Process) -> None:
    for _ in range(_SECONDS * 10):
        if server.returncode is not None:
            raise BootError(f"Matchbox ended with exit code {server.returncode}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", machine.MATCHBOX_PORT)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        writer.close()
        return
    raise BootError(f"Matchbox does not answer within {_SECONDS} s")
