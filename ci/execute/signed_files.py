"""Detached signatures, made next to the files of a build, and checked: cosign does it, and needs no network for it."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Final

import dagger

from ci.common.concurrency import gather_each
from ci.common.errors import BuildError, UserError
from ci.common.filenames import BUNDLE, CHECKSUMS, UNLISTED
from ci.common.progress import say
from ci.execute import tools
from ci.execute.sealing import BuiltAssets
from ci.publish import cosign
from ci.verify.checks_signatures import signed_digest

if TYPE_CHECKING:
    from ci.execute.signing import Signer

#: Bytes of the largest file that is signed: cosign holds it in memory, twice while it reads.
LARGEST: Final = 1 << 30
#: Signatures that are checked in one call.
MOST: Final = 200

_FILES: Final = "/in/files"
_PUBLIC_KEY: Final = re.compile(r"-----BEGIN (RSA )?PUBLIC KEY-----")


async def with_signatures(assets: BuiltAssets, signer: Signer) -> BuiltAssets:
    """Return assets with a detached signature next to each output, the list of checksums and the reports.

    What else there is has its checksum in the list. Raises `BuildError` where a signature is for other bytes.
    """
    report = await assets.report()
    digests = {file.path: file.sha256 for file in report.files}
    large = {file.path for file in report.files if file.size > LARGEST}
    wanted = [path for path in (*(output.path for output in assets.plan.outputs), *UNLISTED) if path not in large]
    tree = assets.tree
    for path in wanted:  # one after the other, for their memory
        bundle = await signer.sign_file(assets.folder, path)
        if digests.get(path, digest := signed_digest(bundle)) != digest:
            raise BuildError(f"the signature of {path} is for {digest}, the file has {digests[path]}")
        tree = tree.with_new_file(posixpath.join(assets.place, path + BUNDLE), bundle)
    say(f"{len(wanted)} files of {assets.place} are signed, each in FILE{BUNDLE}; to check one:")
    say(f"  cosign verify-blob --key cosign.pub --insecure-ignore-tlog --bundle FILE{BUNDLE} FILE")
    for path in sorted(large):
        say(
            f"{path} is too large for cosign, which holds a file in memory: {CHECKSUMS} has its checksum, and is signed"
        )
    return BuiltAssets(assets.plan, tree, assets.place, passed=assets.passed)


async def check_signatures(folder: dagger.Directory, key: dagger.File) -> dict[str, str | None]:
    """Return what cosign says of each file that has a signature next to it: `None`, or why the key did not sign it.

    Raises `UserError` for what is not a public key, and for more signatures than are checked in one call.
    """
    if not _PUBLIC_KEY.search(await key.contents()):
        raise UserError("--cosign-key: no public key in PEM (-----BEGIN PUBLIC KEY-----), as in cosign.pub")
    bundles = sorted(await folder.glob(f"**/*{BUNDLE}"))
    if len(bundles) > MOST:
        raise UserError(
            f"{len(bundles)} signatures are in the folder, {MOST} are checked in one call: give a part of it"
        )
    container = (
        tools.cosign().with_mounted_file(cosign.PUBLIC_KEY, key).with_mounted_directory(_FILES, folder, read_only=True)
    )

    async def check(bundle: str) -> str | None:
        path = posixpath.join(_FILES, bundle)
        command = cosign.verify_file(path.removesuffix(BUNDLE), path)
        run = container.with_exec(command, use_entrypoint=True, expect=dagger.ReturnType.ANY)
        return None if await run.exit_code() == 0 else cosign.reason(await run.stderr())

    answers = await gather_each(check, bundles)
    return {bundle.removesuffix(BUNDLE): answer for bundle, answer in zip(bundles, answers, strict=True)}
