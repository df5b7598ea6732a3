"""What a node logs in to a tailnet with: recognised by its first letters, and never shown.

tskey-auth-…      auth key                           (Tailscale, "Auth keys")
tskey-client-…    secret of an OAuth client; `?ephemeral=false&preauthorized=true` may follow
tskey-api-…       token for Tailscale's API
hskey-auth-…      Headscale's auth key; older ones are hexadecimal digits
file:PATH         a file in the service's container that holds the key (cmd/containerboot)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTH: Final = "tskey-auth-"
CLIENT: Final = "tskey-client-"
HEADSCALE: Final = "hskey-auth-"
#: What begins like a key of Tailscale or Headscale, and is for something else.
OTHERS: Final[Mapping[str, str]] = {
    "tskey-api-": "a token for Tailscale's API",
    "tskey-scim-": "a token for provisioning users (SCIM)",
    "tskey-webhook-": "the secret of a webhook",
    "hskey-api-": "a token for Headscale's API",
}
#: An auth key from before keys said what they are for.
PLAIN: Final = "tskey-"
FILE: Final = "file:"
UNKNOWN: Final = ""

#: Attributes behind a key, with what counts where one is left out (`resolveAuthKey`).
_ATTRIBUTES: Final = ("ephemeral", "preauthorized")
_TRUE: Final = ("1", "t", "T", "true", "TRUE", "True")
_FALSE: Final = ("0", "f", "F", "false", "FALSE", "False")

#: A key anywhere in a text; what follows its beginning is never shown.
IN_TEXT: Final = re.compile(r"(?:ts|hs)key-[a-z]+-?", re.IGNORECASE)


@dataclass(frozen=True)
class Key:
    """What may be known of a key by whoever prints it: nothing in it is secret."""

    #: Its beginning, one of the constants of this module or a key of `OTHERS`.
    kind: str
    #: Of the attributes behind it those that are set to a truth value.
    attributes: Mapping[str, bool] = field(default_factory=dict[str, bool])

    @property
    def is_ephemeral(self) -> bool | None:
        """Whether the node leaves the tailnet when it is offline for some time; `None` where the key itself says it."""
        return self.attributes.get("ephemeral", True if self.kind == CLIENT else None)


def kind_of(secret: str) -> Key:
    """Return what a secret is; the result holds no part of it but its known beginning."""
    text = secret.strip()
    beginnings = (AUTH, CLIENT, HEADSCALE, *OTHERS, PLAIN, FILE)
    kind = next((beginning for beginning in beginnings if text.startswith(beginning)), UNKNOWN)
    return Key(kind, attributes_of(text))


def attributes_of(text: str) -> dict[str, bool]:
    """Return the attributes behind a key or a client's id: `…?ephemeral=false`."""
    found: dict[str, bool] = {}
    for pair in text.partition("?")[2].split("&"):
        name, _, value = pair.partition("=")
        if name in _ATTRIBUTES and value in (*_TRUE, *_FALSE):
            found[name] = value in _TRUE
    return found
