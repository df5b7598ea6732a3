"""Functions that look at boot assets of any origin, and at what a second build gives."""

import dagger

from ci import args
from ci.api import api_function
from ci.common.deferred import deferred
from ci.common.errors import UserError
from ci.functions.base import Functions
from ci.plan.outputs import REPRODUCED_OUTPUTS

with deferred():
    from ci.execute import examine, images_check, overlay, reproduce
    from ci.plan import expectation
    from ci.report import tables


class AssetFunctions(Functions):
    """Functions that look at boot assets of any origin, and at what a second build gives."""

    @api_function
    async def inspect(
        self,
        assets: args.Assets = None,
        image: args.AssetImage = None,
        file: args.AssetFile = None,
        format_: args.Format = "text",
        all_: args.AllFiles = False,
    ) -> str:
        """Show what is inside boot assets: a folder, a container image, or a file of any kind.

        Kernel, initramfs with its extensions, UKI, installer, ISO and disk images are recognised by content, not by
        name. What can't be read is an error that names the file and the place in it.
        """
        form = tables.parse_format(format_)
        return await examine.inspect(await self._subject(assets, image, file), form, whole=all_)

    @api_function
    async def verify(
        self,
        assets: args.Assets = None,
        image: args.AssetImage = None,
        file: args.AssetFile = None,
        variant: args.PlannedVariant = None,
        cosign_key: args.FilesKey = None,
        format_: args.Format = "text",
    ) -> str:
        """Check boot assets of any origin, and say how each check went; failed ones are an error.

        With a variant, they have to be what is planned for it: versions, extensions, nothing of what it must not have.
        Without, they have to agree with themselves: one architecture, one Talos version, one kernel and initramfs.
        Where nothing boots there is nothing to check, which is an error. Of an image, what crane says of it is checked
        too: platform, labels, annotations, digests, files. With a public key, every file has to be signed with it, or
        be in a list of checksums that is.
        """
        form = tables.parse_format(format_)
        if cosign_key is not None and assets is None:
            raise UserError(
                "--cosign-key checks the signatures next to files: give their folder as --assets; an image's are "
                "checked by `cosign verify` (docs/publish.md)"
            )
        found = await self._subject(assets, image, file)
        expected = None
        if variant:
            plan = await (await self._inputs()).plan(variant)
            expected = await overlay.with_overlay(expectation.expectation_anywhere(plan), plan)
        if image is not None:
            arch, login, _ = self._parsed()
            return await images_check.verify_image(image, arch, login, expected, form)
        return await examine.verify(found, expected, form, cosign_key)

    @api_function
    async def diff(
        self,
        before: args.Before = None,
        before_image: args.BeforeImage = None,
        before_file: args.BeforeFile = None,
        after: args.After = None,
        after_image: args.AfterImage = None,
        after_file: args.AfterFile = None,
        format_: args.DiffFormat = "text",
        fail_on_change: args.FailOnChange = False,
    ) -> str:
        """Tell what changed between two sets of boot assets, two images or two files: what to know before an upgrade.

        Versions of Talos, kernel and extensions; files that came, went or changed; command lines; sizes. In the format
        html it is a page: write it to a file with `> diff.html`.
        """
        form = tables.parse_format(format_, tables.Format)
        flags = [(f"--{name}", f"--{name}-image", f"--{name}-file") for name in ("before", "after")]
        older = await self._subject(before, before_image, before_file, flags[0])
        newer = await self._subject(after, after_image, after_file, flags[1])
        return await examine.diff(older, newer, form, fail_on_change=fail_on_change)

    @api_function
    async def reproduce(
        self,
        variant: args.VariantName,
        outputs: args.ReproducedOutputs = None,
        against: args.ReproducedAgainst = "build",
        format_: args.Format = "text",
    ) -> str:
        """Build a variant twice, no imager run from the cache, and compare every output byte by byte.

        Prints each output's checksum. Where two are not equal, the error names the first difference by what it is: an
        archive's entry, a header's field. Against the imager, the initramfs that is put together from several imager
        runs is compared with that of one run with all extensions.
        """
        form = tables.parse_format(format_)
        other = reproduce.parse_against(against)
        wanted = outputs or (["initramfs"] if other is reproduce.Against.IMAGER else REPRODUCED_OUTPUTS)
        inputs = await self._inputs()
        return await reproduce.reproduce(inputs, await inputs.plan(variant, wanted), form, other)

    async def _subject(
        self,
        assets: dagger.Directory | None,
        image: str | None,
        file: dagger.File | None,
        flags: tuple[str, str, str] | None = None,
    ) -> "examine.Subject":
        arch = (await self._inputs()).arch
        return await examine.subject(assets, image, file, arch, flags=flags or examine.FLAGS)
