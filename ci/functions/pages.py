"""Functions that make pages to look at."""

import dagger

from ci import args
from ci.api import api_function
from ci.common.arch import parse_arches
from ci.common.deferred import deferred
from ci.functions.base import Functions
from ci.plan.outputs import parse_outputs

with deferred():
    from ci.execute import site as pages
    from ci.upkeep import description


class PageFunctions(Functions):
    """Functions that make pages to look at."""

    @api_function
    async def site(
        self,
        variants: args.SiteVariants = None,
        address: args.SiteAddress = None,
        arches: args.SiteArchitectures = None,
        outputs: args.SiteOutputs = None,
        archives: args.SiteArchives = None,
        before: args.SiteBefore = None,
        cosign_key: args.SiteKey = None,
    ) -> dagger.Directory:
        """Build a release and make its pages, for GitHub Pages or any web server.

        Layout: index.html, where people choose a machine and read what to do; latest.json, the same for programs;
        <variant>/<arch>/, the assets as `build` returns them; <variant>/machine-config/, as `machine-config` does.
        """
        place = pages.parse_place(address, archives, signed=cosign_key is not None)
        wanted = tuple(outputs or description.parse_description(description.DESCRIPTION.read_text()).outputs)
        parse_outputs(wanted)  # before anything is fetched
        asked_arches = parse_arches(arches or [self.arch])
        inputs = await self._inputs()
        names = pages.parse_names(variants or inputs.variants.names)
        return await pages.make_site(inputs, pages.Wanted(names, asked_arches, wanted, place, before, cosign_key))
