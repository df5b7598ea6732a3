"""A registry that asks for a login before it gives an image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dagger import dag

from ci.common.errors import UserError

if TYPE_CHECKING:
    import dagger

#: A host and a port, as written in image references.
_ADDRESS: Final = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:[0-9]{1,5})?")


@dataclass(frozen=True)
class Login:
    """A registry's address, with user name and password."""

    address: str
    username: str
    password: dagger.Secret

    async def log_in(self) -> None:
        """Give the login to the engine, which uses it for this registry until the session ends."""
        container = dag.container().with_registry_auth(self.address, self.username, self.password)
        await container.platform()  # any answer: it takes the login with it


def parse_login(address: str | None, username: str | None, password: dagger.Secret | None) -> Login | None:
    """Return the login that the arguments say, `None` where none is given.

    Raises `UserError` where only a part of one is given, and for an address that is more than host and port.
    """
    if address is None and username is None and password is None:
        return None
    if not address or not username or password is None:
        given = {"--registry": address, "--registry-username": username, "--registry-password": password}
        missing = ", ".join(name for name, value in given.items() if not value)
        raise UserError(f"a login needs registry, user name and password: give {missing} too")
    if not _ADDRESS.fullmatch(address):
        raise UserError(
            f"bad registry {address!r}: write its host, with a port where references have one, "
            "for example registry.example.com:5000"
        )
    return Login(address, username, password)
