"""Functions that return one output, or one image of a variant's assets."""

import dagger

from ci import args
from ci.api import api_function
from ci.common.deferred import deferred
from ci.functions.base import Functions

with deferred():
    from ci.execute import build


class OutputFunctions(Functions):
    """Functions that return one output, or one image of a variant's assets."""

    @api_function
    async def kernel(self, variant: args.VariantName) -> dagger.File:
        """Build the kernel (vmlinuz), which netboot servers serve."""
        return await build.build_output(await self._inputs(), variant, "kernel")

    @api_function
    async def initramfs(self, variant: args.VariantName) -> dagger.File:
        """Build the initramfs with all extensions in it, which netboot servers serve."""
        return await build.build_output(await self._inputs(), variant, "initramfs")

    @api_function
    async def cmdline(self, variant: args.VariantName) -> dagger.File:
        """Build the kernel's command line, as text, for boot loaders that need it next to kernel and initramfs."""
        return await build.build_output(await self._inputs(), variant, "cmdline")

    @api_function
    async def uki(self, variant: args.VariantName) -> dagger.File:
        """Build the unified kernel image: kernel, initramfs and command line as one EFI program."""
        return await build.build_output(await self._inputs(), variant, "uki")

    @api_function
    async def iso(self, variant: args.VariantName) -> dagger.File:
        """Build the ISO image, for USB sticks and virtual machines."""
        return await build.build_output(await self._inputs(), variant, "iso")

    @api_function
    async def metal(self, variant: args.VariantName, format_: args.DiskFormat = "raw.zst") -> dagger.File:
        """Build the disk image for bare metal."""
        return await build.build_output(await self._inputs(), variant, f"metal.{format_}")

    @api_function
    async def nocloud(self, variant: args.VariantName, format_: args.DiskFormat = "raw.zst") -> dagger.File:
        """Build the disk image for clouds and hypervisors that configure machines by NoCloud."""
        return await build.build_output(await self._inputs(), variant, f"nocloud.{format_}")

    @api_function
    async def installer_archive(self, variant: args.VariantName) -> dagger.File:
        """Build the installer image as a docker archive, which `crane push` and `skopeo copy` take."""
        return await build.build_output(await self._inputs(), variant, "installer")

    @api_function
    async def installer(self, variant: args.VariantName) -> dagger.Container:
        """Build the installer image, which `talosctl upgrade` and the machine configuration name."""
        return await build.build_image(await self._inputs(), variant, "installer")

    @api_function
    async def asset_image(
        self, variant: args.VariantName, outputs: args.AssetOutputs = None, layout: args.LayoutName = "boot"
    ) -> dagger.Container:
        """Build an image that holds the boot assets below /assets and nothing else, with checksums and report."""
        return await build.build_image(await self._inputs(), variant, "assets", outputs, layout)

    @api_function
    async def matchbox(self, variant: args.VariantName) -> dagger.Container:
        """Build CozyStack's netboot image: Matchbox with kernel, initramfs and profiles for the architecture.

        Below /var/lib/matchbox: assets/{vmlinuz,initramfs.xz}, and the checkout's groups and profiles; their kernel
        arguments are the imager's.
        """
        return await build.build_image(await self._inputs(), variant, "matchbox")
