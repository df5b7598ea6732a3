"""Secrets: their texts live in this process and the session helper's memory, and nowhere else.

An address says where a text comes from: `env:NAME`, `file:PATH`, `cmd:COMMAND` (also with `//` behind the colon).
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from embedded.engine.api.context import Engine
from embedded.engine.api.registry import resolver
from embedded.engine.api.values import Secret
from embedded.engine.errors import EngineError

LIMIT = 500 << 10
"""Bytes of one secret that BuildKit takes."""
SCHEMES = ("env", "file", "cmd")


@resolver("Query", "setSecret")
async def set_secret(_: object, engine: Engine, name: str, plaintext: str) -> Secret:
    return await keep(engine, name, plaintext.encode(), uri="")


@resolver("Query", "secret")
async def secret(_: object, engine: Engine, uri: str, cache_key: str | None = None) -> Secret:
    return await keep(engine, cache_key or uri, await read(engine, uri), uri)


async def keep(engine: Engine, name: str, text: bytes, uri: str) -> Secret:
    """Put a secret on offer. Its id is made of its name: the text must not get into a cache key."""
    if len(text) > LIMIT:
        raise EngineError(f"the secret {name!r} has {len(text)} bytes; at most {LIMIT} are possible")
    number = 0
    while True:
        secret_id = hashlib.sha256(f"{name}\0{number}".encode()).hexdigest()[:32]
        known = engine.secrets.get(secret_id)
        if known is None or known == text:
            break
        number += 1  # another secret of the same name
    engine.secrets[secret_id] = text
    if secret_id not in engine.offered:
        await engine.attachables.offer_secret(secret_id, text)
        engine.offered.add(secret_id)
    return Secret(secret_id, name, uri)


async def read(engine: Engine, uri: str) -> bytes:
    scheme, colon, rest = uri.partition(":")
    rest = rest.removeprefix("//")
    if not colon or scheme not in SCHEMES:
        raise EngineError(
            f"unknown secret {_masked(uri)!r}",
            "Say where it comes from: env:NAME, file:PATH or cmd:COMMAND",
        )
    if scheme == "env":
        if rest not in engine.env:
            raise EngineError(f'secret env var not found: "{_masked(rest)}"')
        return engine.env[rest].encode()
    if scheme == "file":
        return _file(engine, rest)
    process = await asyncio.create_subprocess_shell(
        rest, cwd=engine.workdir, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    if process.returncode:
        raise EngineError(f"the secret's command ended with {process.returncode}: {err.decode(errors='replace')}")
    return out


def _file(engine: Engine, name: str) -> bytes:
    path = engine.workdir / Path(name).expanduser()
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineError(f"can't read the secret file {name}: {error.strerror}") from None


def _masked(text: str) -> str:
    """Enough to recognise it: it may be the secret itself, given in the wrong place."""
    return text[:3] + "..."


async def plaintext(engine: Engine, value: Secret) -> bytes:
    return engine.secrets[value.secret_id]


@resolver("Secret", "plaintext")
async def plaintext_(self: Secret, engine: Engine) -> str:
    return (await plaintext(engine, self)).decode()


@resolver("Secret", "name")
async def name(self: Secret, engine: Engine) -> str:
    return self.name


@resolver("Secret", "uri")
async def uri(self: Secret, engine: Engine) -> str:
    return self.uri
