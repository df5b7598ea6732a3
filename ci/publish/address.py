"""Where images go: a registry, and the folder of repositories in it.

address = host [":" port] {"/" component}       ghcr.io/example, registry.example.com:5000, 127.0.0.1:5000/lab
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from ci.common.errors import RegistryError

_HOST: Final = (
    r"(?:localhost|\[[0-9a-fA-F:]+\]|[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+|[a-zA-Z0-9.-]+(?=:[0-9]))(?::[0-9]{1,5})?"
)
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_ADDRESS: Final = re.compile(rf"(?P<host>{_HOST})(?P<path>(?:/{_COMPONENT})*)")

#: Docker Hub's API is elsewhere than its images' names say.
_API_HOSTS: Final = {"docker.io": "registry-1.docker.io"}


@dataclass(frozen=True)
class Address:
    """A registry, and the folder in which the images' repositories are."""

    #: In lower case, with its port if one is given.
    host: str
    #: Without slashes at its ends; may be empty.
    path: str

    def __str__(self) -> str:
        return f"{self.host}/{self.path}" if self.path else self.host

    def repository(self, name: str) -> str:
        """Return a repository's name within the registry."""
        return f"{self.path}/{name}" if self.path else name

    @property
    def api_host(self) -> str:
        """The host that answers the registry's API."""
        return _API_HOSTS.get(self.host, self.host)

    @property
    def loopback(self) -> bool:
        """Whether the registry is on the very machine, or in the container, that asks it."""
        name = re.sub(r":[0-9]+$", "", self.host).strip("[]")
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return name == "localhost"


def parse_address(text: str) -> Address:
    """Read an address, its host in any case.

    Raises `RegistryError` for a URL, a tag, a digest, upper case in the path, a name without a registry.
    """
    match = _ADDRESS.fullmatch(text.rstrip("/"))
    if not match:
        raise RegistryError(
            f"bad address {text!r}: write REGISTRY/PATH, in lower case, without https:// and without a tag, "
            "for example ghcr.io/example; the images' names and tags are added to it"
        )
    return Address(match["host"].lower(), match["path"].strip("/"))
