"""Checks of detached signatures: Sigstore bundles next to the files, as `cosign verify-blob --bundle` takes them.

Whether a key made a signature is for cosign to say, which runs in another container (`ci.execute.signed_files`). What
needs no key is checked here: a bundle holds the digest of the file that it is for.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from ci.common.filenames import BUNDLE, CHECKSUMS, checksummed, is_signature
from ci.verify.model import Verdict, skip

if TYPE_CHECKING:
    from ci.plan.expectation import Expectation
    from ci.verify.assets import Assets


def signed_digest(bundle: str) -> str:
    """Return the SHA-256 of the file that a bundle is for, in hexadecimal; raises `ValueError` for anything else."""
    try:
        message: Any = json.loads(bundle)["messageSignature"]
        digest, kind = message["messageDigest"]["digest"], message["messageDigest"]["algorithm"]
        if not message["signature"]:
            raise KeyError("signature")
        if kind != "SHA2_256":
            raise ValueError(f"a digest of the kind {kind}, SHA2_256 is wanted")
        return base64.b64decode(digest, validate=True).hex()
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("no Sigstore bundle with the signature of a file") from error


def signatures_files(assets: Assets, _: Expectation) -> Verdict:
    """`signatures.files`."""
    found = sorted(path for path in assets.digests if path.endswith(BUNDLE))
    if not found:
        return skip("there are no detached signatures")
    verdict = Verdict(evidence=[f"{len(found)} files have a signature"])
    for path in found:
        file = path.removesuffix(BUNDLE)
        if not is_signature(path, assets.digests):
            verdict.problems.append(f"{path} is the signature of a file that is not there")
            continue
        try:
            digest = signed_digest(assets.text(path) or "")
        except ValueError as error:
            verdict.problems.append(f"{path}: {error}")
        else:
            if digest != assets.digests[file]:
                verdict.problems.append(f"{path} is for a file of {digest}, {file} has {assets.digests[file]}")
    return verdict


def signatures_key(assets: Assets, _: Expectation) -> Verdict:
    """`signatures.key`."""
    answers = assets.signed
    if answers is None:
        return skip("no public key is given to check signatures with")
    good = {path for path, reason in answers.items() if reason is None}
    # The list of checksums speaks for the files in it, whose checksums have a check of their own.
    covered = {*good, *(checksummed(assets.digests) if CHECKSUMS in good else ())}
    verdict = Verdict(evidence=[f"{path} is signed with the key" for path in sorted(good)])
    verdict.problems += [f"{path}: {reason}" for path, reason in sorted(answers.items()) if reason is not None]
    verdict.problems += [
        f"{path} is not signed, and in no list of checksums that is"
        for path in sorted(assets.digests)
        if path not in covered and path not in answers and not is_signature(path, assets.digests)
    ]
    return verdict
