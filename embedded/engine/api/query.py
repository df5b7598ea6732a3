"""The rest of the root: version, platform, objects by id, HTTP files, and small answers made of fields."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from embedded.engine import DAGGER_VERSION, llb
from embedded.engine.api.context import Engine
from embedded.engine.api.registry import RESOLVERS, resolver
from embedded.engine.api.values import File, Named
from embedded.engine.errors import UnsupportedError


@resolver("Query", "version")
async def version(_: object, engine: Engine) -> str:
    return DAGGER_VERSION


@resolver("Query", "defaultPlatform")
async def default_platform(_: object, engine: Engine) -> str:
    return engine.platform


@resolver("Query", "node")
async def node(_: object, engine: Engine, id: str) -> Any:
    return engine.load(id, object)


for _loadable in (
    *("Address", "CacheVolume", "Changeset", "Container", "Directory", "Error", "File", "Function"),
    *("GitRef", "GitRepository", "Host", "Module", "Secret", "Stat", "TypeDef"),
):
    resolver("Query", f"load{_loadable}FromID")(node)


@resolver("Query", "http")
async def http(
    _: object,
    engine: Engine,
    url: str,
    name: str | None = None,
    permissions: int | None = None,
    checksum: str | None = None,
    auth_header: str | None = None,
    experimental_service_host: str | None = None,
) -> File:
    if auth_header or experimental_service_host:
        raise UnsupportedError("Query.http(authHeader, experimentalServiceHost)")
    filename = name or urlsplit(url).path.rpartition("/")[2] or "index"
    attrs = {"http.filename": filename}
    if checksum:
        attrs["http.checksum"] = checksum
    if permissions is not None:
        attrs["http.perm"] = f"0{permissions:o}"
    return File(llb.source(url, attrs, name=f"download {url}"), "/" + filename)


def _answer(field: str) -> Any:
    async def answer(self: Named, engine: Engine) -> Any:
        return dict(self.fields)[field]

    return answer


for _type, _fields in {
    "Label": ("name", "value"),
    "EnvVariable": ("name", "value"),
    "Stat": ("name", "size", "permissions", "fileType"),
    "ErrorValue": ("name", "value"),
    "FunctionCallArgValue": ("name", "value"),
}.items():
    for _name in _fields:
        RESOLVERS[_type, _name] = _answer(_name)
