"""Command lines of cosign 3 (`pins.COSIGN`), and where it finds images.

Images are named by digest: a signature on a tag's image of the moment would say nothing. cosign asks registries itself;
the engine's mirrors and credentials are not its own. Environment variables that begin with `COSIGN_` are flags to it
(`COSIGN_KEY` is `--key`); the two below it knows as what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ci.references import parse_reference

if TYPE_CHECKING:
    from ci.plan import Image

#: Where a public key lies in cosign's container.
PUBLIC_KEY: Final = "/in/cosign.pub"

#: Variables of a private key (PEM, as `cosign generate-key-pair` writes it) and of its password, which may be empty.
PRIVATE_KEY: Final = "COSIGN_PRIVATE_KEY"
PASSWORD: Final = "COSIGN_PASSWORD"  # noqa: S105 (the name of a variable)

#: Whose images Sidero Labs signs, and as whom: docs.siderolabs.com, "Verifying images".
SIDERO_IMAGES: Final = "ghcr.io/siderolabs/"
SIDERO_ISSUER: Final = "https://accounts.google.com"
SIDERO_IDENTITY: Final = r"(@siderolabs\.com$|^releasemgr-svc@talos-production\.iam\.gserviceaccount\.com$)"


def by_digest(image: Image) -> str:
    """Return an image's reference with its digest alone."""
    return f"{parse_reference(image.pinned).repository}@{image.digest}"


def verify_by_key(reference: str, key: str = PUBLIC_KEY) -> list[str]:
    """Check that a key signed an image. Nothing but the registry is asked: no transparency log, no trust root."""
    return ["verify", "--key", key, "--insecure-ignore-tlog", "--output", "text", reference]


def verify_sidero(reference: str) -> list[str]:
    """Check that Sidero Labs signed an image, keyless: certificate, and entry in the transparency log."""
    return [
        *("verify", "--certificate-oidc-issuer", SIDERO_ISSUER, "--certificate-identity-regexp", SIDERO_IDENTITY),
        *("--output", "text", reference),
    ]


def sign_by_key(reference: str) -> list[str]:
    """Sign an image, and each of its platforms', with the key in `PRIVATE_KEY`; nothing goes to a transparency log."""
    return [
        *("sign", "--yes", "--recursive", "--key", f"env://{PRIVATE_KEY}"),
        *("--use-signing-config=false", "--tlog-upload=false", reference),
    ]
