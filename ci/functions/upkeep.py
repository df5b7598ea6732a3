"""Functions for newer versions, and for the CI of a repository."""

import dagger

from ci import args
from ci.api import api_function
from ci.common.arch import parse_arch
from ci.common.deferred import deferred
from ci.common.progress import say
from ci.functions.base import Functions
from ci.upkeep.vendors import parse_vendors

with deferred():
    from ci.execute import ci_files, updating
    from ci.publish import address as addresses
    from ci.upkeep import files


class UpkeepFunctions(Functions):
    """Functions for newer versions, and for the CI of a repository."""

    @api_function
    async def outdated(self, repository: args.Repository = None, to: args.WantedRelease = None) -> str:
        """Show newer versions than those in use, of CozyStack and of extensions, and what they would change.

        The plans of both releases are compared variant by variant: Talos, extensions with version and digest, drops.
        """
        inputs = await self._inputs()
        return (await updating.find_update(inputs, repository, to)).report

    @api_function
    async def update(
        self, source: args.UpdateSource, repository: args.Repository = None, to: args.WantedRelease = None
    ) -> dagger.Changeset:
        """Propose newer versions, of CozyStack and of extensions in variants, as changes to the checkout.

        What they would change in the plans is printed; `outdated` shows it without the changes.
        """
        found = await updating.find_update(await self._inputs(), repository, to)
        say(found.report)
        return await updating.apply_update(source, found)

    @api_function
    async def ci_files(
        self,
        vendor: args.VendorNames,
        source: args.CiFilesSource,
        module: args.ModuleReference = None,
        variant: args.ReleasedVariants = None,
        variants_folder: args.VariantsFolder = None,
        outputs: args.ReleasedOutputs = None,
        address: args.ReleaseAddress = None,
        dagger_version: args.DaggerVersion = None,
        dagger_checksum: args.DaggerChecksum = None,
    ) -> dagger.Changeset:
        """Write the CI files of one vendor, of several, or of all, as changes to your checkout.

        On changes their jobs call test and boots, on tags build and publish. Of the global options, --variants,
        --release and --arch go into these calls. What has to be set up at the vendor is printed.
        """
        arguments = files.Arguments(
            module=module,
            variant=tuple(variant or ()),
            variants_folder=variants_folder,
            outputs=tuple(outputs or ()),
            address=None if address is None else str(addresses.parse_address(address)),
            dagger=dagger_version,
            dagger_checksum=dagger_checksum,
            release=self.release,
            arch=parse_arch(self.arch),
        )
        return await ci_files.write_ci_files(source, parse_vendors(vendor), arguments, self.variant_files)
