"""Signing images and files with a key, in a container that needs no network.

What is signed of images is pushed like any other document.
"""

from __future__ import annotations

import base64
import json
import posixpath
import time
from typing import TYPE_CHECKING, Any, Final

import dagger
from dagger import dag

from ci.common.concurrency import gather_each
from ci.common.deferred import deferred
from ci.common.errors import UserError
from ci.execute import tools

with deferred():
    from ci.publish import cosign, statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci.plan.model import Plan
    from ci.publish.push import Artifact

_BUNDLE: Final = "/out/bundle.json"
_STATEMENT: Final = "/in/statement.json"
_FILES: Final = "/in/files"


def signs(bundle: bytes, statement: str, hint: str) -> bool:
    """Say whether a bundle names a key and holds a statement, and a signature of that.

    The signature itself is not checked, which needs the public key.
    """
    wanted = json.loads(statement)
    try:
        document: Any = json.loads(bundle)
        envelope = document["dsseEnvelope"]
        found = json.loads(base64.b64decode(envelope["payload"], validate=True))
        return (
            document["verificationMaterial"]["publicKey"]["hint"] == hint
            and any(one["sig"] for one in envelope["signatures"])
            and all(found[key] == wanted[key] for key in ("predicateType", "predicate"))
            and _digests(found) == _digests(wanted)
        )
    except (ValueError, KeyError, TypeError):
        return False


def _digests(statement: Any) -> list[str]:
    return [one["digest"]["sha256"] for one in statement["subject"]]


class Signer:
    """Signs statements with a private key, as `cosign generate-key-pair` makes it."""

    def __init__(self, key: dagger.Secret, password: dagger.Secret | None) -> None:
        self._key = key
        self._password = password

    @classmethod
    def of(cls, key: dagger.Secret | None, password: dagger.Secret | None) -> Signer | None:
        """Return who signs, `None` where nobody is to; raises `UserError` for a password without a key."""
        if key is None and password is not None:
            raise UserError("--sign-password is the password of a key: add --sign-key")
        return cls(key, password) if key is not None else None

    async def check(self) -> None:
        """Raise `UserError` where the key can't sign, before anything is built."""
        await self._bundle(cosign.signature_statement("sha256:" + "0" * 64))

    async def sign(self, plan: Plan, claims: Sequence[str]) -> list[Artifact]:
        """Return a signature of each in-toto statement."""
        bundles = await gather_each(self._bundle, claims)
        return [statements.signature(plan, *signed) for signed in zip(claims, bundles, strict=True)]

    async def sign_file(self, folder: dagger.Directory, path: str) -> str:
        """Return the detached signature of a file in a folder, a bundle."""
        container = tools.cosign().with_mounted_directory(_FILES, folder, read_only=True)
        return await self._signed(container, cosign.sign_file(posixpath.join(_FILES, path), _BUNDLE))

    async def _bundle(self, statement: str) -> str:
        container = tools.cosign().with_new_file(_STATEMENT, statement)
        return await self._signed(container, cosign.sign_statement(_STATEMENT, _BUNDLE))

    async def _signed(self, container: dagger.Container, command: list[str]) -> str:
        container = (
            container.with_directory("/out", dag.directory())
            # An engine may know a secret by its name only: another key of that name must not find this one's result.
            .with_env_variable("SIGNING", str(time.time_ns()))
            .with_secret_variable(cosign.PRIVATE_KEY, self._key)
        )
        if self._password is not None:
            container = container.with_secret_variable(cosign.PASSWORD, self._password)
        else:
            container = container.with_env_variable(cosign.PASSWORD, "")
        try:
            bundle = await container.with_exec(command, use_entrypoint=True).file(_BUNDLE).contents()
        except dagger.ExecError as error:
            reason = cosign.reason(error.stderr)
            raise UserError(f"cosign can't sign: {reason}. Check --sign-key and --sign-password") from None
        json.loads(bundle)
        return bundle
