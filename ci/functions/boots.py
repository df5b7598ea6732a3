"""Functions that boot assets in QEMU."""

import dagger
from dagger import check

from ci import args
from ci.api import api_function
from ci.boot.ways import DEADLINE, Way, parse_start
from ci.common.deferred import deferred
from ci.functions.base import Functions
from ci.plan.outputs import NETBOOT

with deferred():
    from ci.boot import request
    from ci.execute import boots, build


class BootFunctions(Functions):
    """Functions that boot assets in QEMU."""

    @api_function
    async def boot(
        self,
        variant: args.VariantName,
        from_: args.BootFrom = "kernel",
        assets: args.BootedAssets = None,
        kernel_args: args.KernelArguments = None,
        machine_config: args.MachineConfiguration = None,
        deadline: args.Deadline = DEADLINE,
        kvm: args.Kvm = False,
    ) -> str:
        """Boot a variant in QEMU, show its console, and say how it went; one that does not come up is an error.

        It comes up when Talos enters its maintenance mode, or with a machine configuration when its services run. The
        verdict has the time to each stage, the enabled extensions, and checks with the console's lines as evidence.
        """
        way, output = parse_start(from_)
        options = request.parse_options(deadline, kernel_args, kvm=kvm, output=output)
        given = await boots.checked(machine_config)
        return boots.came_up(await build.boot_variant(await self._inputs(), variant, way, options, assets, given)).text

    @api_function
    async def boot_record(
        self,
        variant: args.VariantName,
        from_: args.BootFrom = "kernel",
        assets: args.BootedAssets = None,
        kernel_args: args.KernelArguments = None,
        machine_config: args.MachineConfiguration = None,
        deadline: args.Deadline = DEADLINE,
        kvm: args.Kvm = False,
    ) -> dagger.Directory:
        """Boot as `boot` does, and return what there is to keep of it, however it went.

        Layout: boot-<from>.log, the console with times; .txt and .json, the verdict; .svg, the stages as a picture.
        """
        way, output = parse_start(from_)
        options = request.parse_options(deadline, kernel_args, kvm=kvm, output=output)
        given = await boots.checked(machine_config)
        return (await build.boot_variant(await self._inputs(), variant, way, options, assets, given)).record

    @api_function
    async def netboot(
        self,
        variant: args.VariantName,
        kernel_args: args.KernelArguments = None,
        machine_config: args.MachineConfiguration = None,
        deadline: args.Deadline = DEADLINE,
        kvm: args.Kvm = False,
    ) -> str:
        """Boot a variant over the network, as a node without a disk does, from the image that `matchbox` builds.

        iPXE is started from a small EFI partition, gets an address by DHCP, and asks Matchbox for all else by HTTP.
        """
        options = request.parse_options(deadline, kernel_args, kvm=kvm)
        given = await boots.checked(machine_config)
        inputs = await self._inputs()
        image = await build.build_image(inputs, variant, "matchbox")
        plan, upstream = await inputs.plan(variant, NETBOOT), (await inputs.checkout()).upstream
        return boots.came_up(await boots.boot_network(plan, image, upstream, options, given)).text

    @check
    @api_function
    async def boots(self) -> str:
        """Boot the first variant from its kernel and the last through UEFI: what every change should pass."""
        inputs = await self._inputs()
        names = inputs.variants.names
        options = request.parse_options(DEADLINE, None, kvm=False)
        trials = ((names[0], Way.KERNEL), (names[-1], Way.UKI))
        return "\n".join(
            [boots.came_up(await build.boot_variant(inputs, name, way, options)).text for name, way in trials]
        )
