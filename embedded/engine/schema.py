"""The GraphQL schema: names and types of Dagger's API, with a loaded module's types merged in.

`schema.graphqls` states types, fields, arguments and defaults of Dagger v0.21.8, without its texts. It is the whole
of them, so that a module can name any field and gets a clear answer for one that nobody resolves here.
Parsing takes 0.1 s, so the parsed document is kept below the cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLInterfaceType,
    GraphQLSchema,
    build_ast_schema,
    extend_schema,
    get_introspection_query,
    introspection_from_schema,
    parse,
)
from graphql import version as graphql_version

SCHEMA_FILE = Path(__file__).with_name("schema.graphqls")


def _kept(path: Path, make: Any) -> bytes:
    """A file's bytes, made if it is not there; two at once write the same."""
    with contextlib.suppress(OSError):
        return path.read_bytes()
    data: bytes = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(data)
    part.replace(path)
    return data


def load_schema(cache: Path) -> GraphQLSchema:
    """Dagger's schema. `cache` is a folder to keep parsed documents in."""
    document = _parsed(cache, SCHEMA_FILE.read_text())
    return _with_type_names(build_ast_schema(document, assume_valid=True, assume_valid_sdl=True))


def with_types(core: GraphQLSchema, cache: Path, module_sdl: str) -> GraphQLSchema:
    """The schema with a module's types."""
    extended = extend_schema(core, _parsed(cache, module_sdl), assume_valid=True, assume_valid_sdl=True)
    return _with_type_names(extended)


def _with_type_names(schema: GraphQLSchema) -> GraphQLSchema:
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLInterfaceType):
            kind.resolve_type = _type_name
    return schema


def _type_name(value: Any, *_: Any) -> str:
    return value.TYPE


def _parsed(cache: Path, text: str) -> DocumentNode:
    name = hashlib.sha256(text.encode()).hexdigest()[:24]
    return pickle.loads(  # noqa: S301  of our own, below our cache folder
        _kept(cache / f"schema-{name}.pickle", lambda: pickle.dumps(parse(text, no_location=True)))
    )


def valid_queries(cache: Path, module_sdl: str = "") -> Path:
    """Return the file of what is known to be valid of queries to the schema, as this version of GraphQL checks them."""
    name = hashlib.sha256((SCHEMA_FILE.read_text() + module_sdl + graphql_version).encode()).hexdigest()[:24]
    return cache / f"queries-{name}.txt"


def introspection(cache: Path, schema: GraphQLSchema, module_sdl: str = "") -> bytes:
    """The answer to a client's introspection query, as JSON: clients ask it at every start."""
    name = hashlib.sha256((SCHEMA_FILE.read_text() + module_sdl + get_introspection_query()).encode()).hexdigest()[:24]
    return _kept(
        cache / f"introspection-{name}.json", lambda: json.dumps({"data": introspection_from_schema(schema)}).encode()
    )
