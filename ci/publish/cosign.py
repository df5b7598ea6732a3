"""Command lines of cosign 3 (`pins.COSIGN`), and where it finds images.

Images are named by digest: a signature on a tag's image of the moment would say nothing. cosign asks registries itself;
the engine's mirrors and logins are not its own. Environment variables that begin with `COSIGN_` are flags to it
(`COSIGN_KEY` is `--key`); a key's two below it knows as what they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from ci.common.errors import UserError
from ci.common.references import parse_reference
from ci.verify.statement import STATEMENT_TYPE, digest_set

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci.common.references import PinnedImage
    from ci.resolve.model import PlannedExtension

#: Path of a public key in cosign's container.
PUBLIC_KEY: Final = "/in/cosign.pub"

#: Variables of a private key (PEM, as `cosign generate-key-pair` writes it) and of its password, which may be empty.
PRIVATE_KEY: Final = "COSIGN_PRIVATE_KEY"
PASSWORD: Final = "COSIGN_PASSWORD"  # noqa: S105 (the name of a variable)

#: Variables of a login to the registry that it asks.
REGISTRY_USERNAME: Final = "COSIGN_REGISTRY_USERNAME"
REGISTRY_PASSWORD: Final = "COSIGN_REGISTRY_PASSWORD"  # noqa: S105 (the name of a variable)

#: What cosign's signatures are: media type of the bundle, type of the statement in it.
BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIGNED: Final = "https://sigstore.dev/cosign/sign/v1"

#: Whose images Sidero Labs signs, and as whom: docs.siderolabs.com, "Verifying images".
SIDERO_IMAGES: Final = "ghcr.io/siderolabs/"
SIDERO_ISSUER: Final = "https://accounts.google.com"
SIDERO_IDENTITY: Final = r"(@siderolabs\.com$|^releasemgr-svc@talos-production\.iam\.gserviceaccount\.com$)"


#: Registry's name → where cosign is to look instead: `{"ghcr.io": "registry.example.com/ghcr.io"}`.
Mirrors = Mapping[str, str]


def parse_mirrors(texts: Iterable[str]) -> dict[str, str]:
    """Read `REGISTRY=ADDRESS`, where the address is a registry with or without a path; commas separate several.

    Raises `UserError` for anything else.
    """
    mirrors: dict[str, str] = {}
    for text in (part.strip() for given in texts for part in given.split(",")):
        registry, _, address = text.partition("=")
        if not registry or not address or "/" in registry or "://" in address:
            raise UserError(
                f"bad mirror {text!r}: write REGISTRY=ADDRESS, for example ghcr.io=registry.example.com/ghcr.io"
            )
        mirrors[registry] = address.rstrip("/")
    return mirrors


def by_digest(image: PinnedImage | PlannedExtension, mirrors: Mirrors | None = None) -> str:
    """Return an image's reference with its digest alone, at its mirror if it has one."""
    registry, _, path = parse_reference(image.pinned).repository.partition("/")
    return f"{(mirrors or {}).get(registry, registry)}/{path}@{image.digest}"


def rules(image: PinnedImage | PlannedExtension, mirrors: Mirrors, *, key: bool) -> tuple[tuple[str, list[str]], ...]:
    """Return who may have signed an image, in words, each with the command that checks it; one is enough.

    `key` says whether there is a public key. Raises `UserError` where nobody is known who could have signed it.
    """
    reference = by_digest(image, mirrors)
    found = [("the key given", verify_by_key(reference))] if key else []
    if image.reference.startswith(SIDERO_IMAGES):
        found.append(("Sidero Labs", verify_sidero(reference)))
    if not found:
        raise UserError(f"{image.reference} is not Sidero Labs' own: give its signer's public key as --cosign-key")
    return tuple(found)


def verify_by_key(reference: str, key: str = PUBLIC_KEY) -> list[str]:
    """Check that a key signed an image. Nothing but the registry is asked: no transparency log, no trust root."""
    return ["verify", "--key", key, "--insecure-ignore-tlog", "--output", "text", reference]


def verify_sidero(reference: str) -> list[str]:
    """Check that Sidero Labs signed an image, keyless: certificate, and entry in the transparency log."""
    return [
        *("verify", "--certificate-oidc-issuer", SIDERO_ISSUER, "--certificate-identity-regexp", SIDERO_IDENTITY),
        *("--output", "text", reference),
    ]


def signature_statement(digest: str) -> str:
    """Return what cosign's signature of an image says: an in-toto statement about its digest."""
    subject = {"digest": digest_set(digest), "annotations": {}}
    return json.dumps({"_type": STATEMENT_TYPE, "subject": [subject], "predicateType": SIGNED, "predicate": {}})


def sign_statement(statement: str, bundle: str) -> list[str]:
    """Sign a statement with the key in `PRIVATE_KEY` into a bundle. No registry and no transparency log is asked."""
    return [
        *("attest-blob", "--yes", "--statement", statement, "--key", f"env://{PRIVATE_KEY}", "--bundle", bundle),
        *("--use-signing-config=false", "--tlog-upload=false"),
    ]


def sign_file(file: str, bundle: str) -> list[str]:
    """Sign a file, which cosign holds in memory, with the key in `PRIVATE_KEY`. No transparency log is asked."""
    return [
        *("sign-blob", "--yes", "--key", f"env://{PRIVATE_KEY}", "--bundle", bundle),
        *("--use-signing-config=false", "--tlog-upload=false", file),
    ]


def verify_file(file: str, bundle: str, key: str = PUBLIC_KEY) -> list[str]:
    """Check that a key signed a file. Nothing is asked over the network: no transparency log, no trust root."""
    return ["verify-blob", "--key", key, "--insecure-ignore-tlog", "--bundle", bundle, file]


def reason(stderr: str) -> str:
    """Return why cosign failed: the last line of what it said, which repeats the one before it."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1].removeprefix("error during command execution: ") if lines else "it said nothing"
