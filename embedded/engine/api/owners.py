"""Owners of files in a container: names become the numbers that its own `/etc/passwd` and `/etc/group` give them."""

from __future__ import annotations

from embedded.engine.api.context import Engine
from embedded.engine.api.values import Container, File
from embedded.engine.errors import EngineError


async def owner_ids(engine: Engine, container: Container, owner: str) -> str:
    """Turn `user` or `user:group` into `1000:1000`; a group that is left out has the user's number, as with Dagger."""
    if not owner:
        return ""
    user, colon, group = owner.partition(":")
    uid = await _number(engine, container, "passwd", user)
    gid = await _number(engine, container, "group", group) if colon else uid
    return f"{uid}:{gid}"


async def _number(engine: Engine, container: Container, table: str, name: str) -> str:
    if name.isdigit():
        return name
    text = (await engine.contents(File(container.root, f"/etc/{table}"))).decode(errors="replace")
    for line in text.splitlines():
        entry, _, number, *_ = [*line.split(":"), "", ""]
        if entry == name and number.isdigit():
            return number
    raise EngineError(f"the container's /etc/{table} has no {name!r}", "Name one that it has, or give a number.")
