"""The signatures of what goes into a build, checked by cosign in containers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagger

from ci.common.concurrency import gather_each
from ci.common.deferred import deferred
from ci.common.errors import UserError
from ci.common.progress import say
from ci.execute import tools
from ci.resolve.model import Source

with deferred():
    from ci.publish import cosign

if TYPE_CHECKING:
    from ci.common.references import PinnedImage
    from ci.execute.registry import Login
    from ci.plan.model import Plan
    from ci.resolve.model import PlannedExtension


@dataclass(frozen=True)
class Signers:
    """Whose signatures are taken: Sidero Labs' on its own images, and a key's."""

    key: dagger.File | None
    mirrors: cosign.Mirrors
    #: For the registry that has it, and for no other.
    login: Login | None = None

    @classmethod
    def of(
        cls, wanted: bool, key: dagger.File | None, mirrors: list[str] | None, login: Login | None = None
    ) -> Signers | None:
        """Return whose signatures are asked for, `None` where none are; raises `UserError` for half a request."""
        if wanted:
            return cls(key, cosign.parse_mirrors(mirrors or []), login)
        if key is not None or mirrors:
            raise UserError("--cosign-key and --cosign-mirrors say how signatures are checked: add --verify-signatures")
        return None

    async def verify(self, plan: Plan) -> dict[str, str]:
        """Check every image of a plan, and return who signed it, by reference with digest.

        Raises `UserError` with all that are not signed as they have to be.
        """
        # Who could have signed them is settled before anything runs.
        todo = {image.pinned: cosign.rules(image, self.mirrors, key=self.key is not None) for image in _images(plan)}
        said: dict[str, str] = {}
        failed: dict[str, str] = {}

        async def check(pinned: str) -> None:
            reasons: list[str] = []
            for signer, command in todo[pinned]:
                try:
                    await self._cosign(command[-1]).with_exec(command, use_entrypoint=True).sync()
                except dagger.ExecError as error:
                    reasons.append(f"not signed by {signer}: {cosign.reason(error.stderr)}")
                else:
                    said[pinned] = signer
                    return
            failed[pinned] = "; ".join(reasons)

        await gather_each(check, todo)
        if failed:
            lines = [f"{pinned}: {failed[pinned]}" for pinned in todo if pinned in failed]
            raise UserError(
                "\n".join([f"{len(failed)} of {len(todo)} images are not signed as they have to be:", *lines])
            )
        files = [f"not signed, given as a file: {entry.pinned}" for entry in plan.extensions if _is_file(entry)]
        say("\n".join([*(f"signed by {said[pinned]}: {pinned}" for pinned in todo), *files]))
        return said

    def _cosign(self, reference: str) -> dagger.Container:
        container = tools.cosign()
        if self.login and reference.startswith(f"{self.login.address}/"):
            container = container.with_env_variable(cosign.REGISTRY_USERNAME, self.login.username)
            container = container.with_secret_variable(cosign.REGISTRY_PASSWORD, self.login.password)
        return container.with_mounted_file(cosign.PUBLIC_KEY, self.key) if self.key else container


def _images(plan: Plan) -> list[PinnedImage | PlannedExtension]:
    catalog = [plan.catalog] if plan.catalog else []
    return [
        *(plan.imager, plan.installer_base, *catalog),
        *(entry for entry in plan.extensions if not _is_file(entry)),
        *([plan.overlay] if plan.overlay else []),
    ]


def _is_file(entry: PlannedExtension) -> bool:
    # Who gives a file knows where it is from; there is no registry that could have a signature for it.
    return entry.source is Source.FILE
