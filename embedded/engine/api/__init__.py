"""The fields of Dagger's schema: importing this registers every resolver."""

from embedded.engine.api import (
    changeset,
    container,
    container_settings,
    directory,
    file,
    git,
    host,
    images,
    query,
    secret,
)

__all__ = [
    "changeset",
    "container",
    "container_settings",
    "directory",
    "file",
    "git",
    "host",
    "images",
    "query",
    "secret",
]
