"""A plan as containers and directories. What the plan does not say is not decided here.

One imager run per output, each an exec of its own, so that outputs are cached and run apart. The initramfs comes
first and goes ready-made into what embeds it; the imager gets files only, and needs no network.
"""

from __future__ import annotations

import posixpath
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import dagger
from dagger import dag

from ci.common.concurrency import Memo, gather_each, gather_two
from ci.common.errors import BuildError, CozystackTalosError
from ci.common.filenames import VALIDATION
from ci.common.kinds import Initramfs
from ci.common.progress import say
from ci.execute import commands
from ci.execute.asking import together
from ci.execute.imager import imager, with_sparse_disks
from ci.execute.initramfs import Packed, assembled, in_one_run, packed
from ci.execute.loop_devices import with_loop_devices
from ci.execute.overlay import check_overlay, overlay_root, with_overlay
from ci.execute.privileges import unprivileged
from ci.execute.pulling import check_platform, image_of
from ci.execute.sdk import known_by_id
from ci.execute.sealing import VERIFY, seal
from ci.execute.tools import NORMALISE, base, normalised, tools
from ci.plan import profile
from ci.plan.expectation import expectation
from ci.plan.outputs import Compression, DiskFormat, Layout
from ci.plan.quirks import install_folder, one_run_reason, quirks
from ci.resolve.model import Source

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ci.execute.sealing import BuiltAssets
    from ci.execute.secureboot import Keys
    from ci.plan.model import Plan, PlannedOutput
    from ci.resolve.model import PlannedExtension

T = TypeVar("T")

#: Architecture folders of Talos assets stand below it.
ASSETS: Final = "assets/talos"
UPSTREAM_ASSETS: Final = "_out/assets"
STAND_IN_FILE: Final = "STAND-IN.txt"
STAND_IN_TEXT: Final = (
    "These assets are stand-ins, made from the lab's images to try things out.\n"
    "They are not Talos: do not put them on a machine that matters, and do not publish them.\n"
)
#: Where the checks of extensions find the imager's kernel.
_KERNEL: Final = "/in/vmlinuz"


def assets_path(plan: Plan, *, by_variant: bool = False, by_arch: bool = False) -> str:
    """Return where the assets are in what `build` returns, of several variants or architectures, or of one."""
    apart = [plan.variant] if by_variant else []
    if plan.layout is Layout.BOOT:
        return posixpath.join(ASSETS, plan.arch.value, *apart)
    return posixpath.join(UPSTREAM_ASSETS, *([plan.arch.value] if by_arch else []), *apart)


class Pipeline:
    """The graph of one plan. Equal parts of two plans are equal graphs, and run once.

    With an `attempt`, a text that was never used before, no imager run is taken from the cache. `trees` are the file
    trees of those of the plan's extensions that are in files, by digest (`ci.execute.local`); `keys` sign for secure
    boot. `assembles` says whether the initramfs is put together from several imager runs, or made in one; `None`: it is
    where the Talos version is known to make no difference between the two.
    """

    def __init__(
        self,
        plan: Plan,
        trees: Mapping[str, dagger.Directory] | None = None,
        keys: Keys | None = None,
        *,
        attempt: str | None = None,
        assembles: bool | None = None,
    ) -> None:
        self._plan = plan
        self._trees = trees or {}
        self._keys = keys
        self._imager = imager(plan, attempt)
        self._epoch = plan.source_date.epoch
        self._profiles = profile.profiles(plan)
        proven = quirks(plan.talos_version).initramfs_can_be_assembled
        self._assembles = proven if assembles is None else assembles
        self._is_unproven = assembles is None and not proven
        self._checks = Memo[str, None]()
        self._tars = Memo[str, dagger.Directory]()
        self._bases = Memo[None, dagger.Directory]()
        self._initramfs: dagger.File | None = None
        #: Set once the engine knows what the initramfs is made of, or that there is none.
        self._initramfs_is_known = anyio.Event()

    # --- what goes in -----------------------------------------------------------------------------------------

    async def root(self, extension: PlannedExtension) -> dagger.Directory:
        """Return an extension's file tree: `/manifest.yaml` and `/rootfs`."""
        await self._checks.get(extension.digest, lambda: self._check_platform(extension))
        return self._root(extension)

    async def _check_platform(self, extension: PlannedExtension) -> None:
        if extension.source is not Source.FILE:
            await check_platform(extension, self._plan.arch.platform)

    def _root(self, extension: PlannedExtension) -> dagger.Directory:
        """Return an extension's file tree, which may be of another platform: `root` says so meanwhile."""
        if extension.source is Source.FILE:
            return self._trees[extension.digest]
        return image_of(extension, self._plan.arch.platform).rootfs()

    async def _extension_tar(self, extension: PlannedExtension) -> dagger.Directory:
        async def packed() -> dagger.Directory:
            tar = self._packed(self._root(extension), extension.name)
            return (await gather_two(lambda: known_by_id(tar), lambda: self.root(extension)))[0]

        return await self._tars.get(extension.name, packed)

    async def _packed_extension(self, extension: PlannedExtension) -> Packed:
        return await packed(self._root(extension), lambda: self._extension_tar(extension))

    def _packed(self, root: dagger.Directory, name: str) -> dagger.Directory:
        """Return a folder with the tar of a file tree."""
        command = commands.tar("/image", f"/out/{name}.tar", self._epoch)
        return base().with_mounted_directory("/image", root, read_only=True).with_exec(command).directory("/out")

    async def extensions(self) -> dagger.Directory:
        """Return the folder of the extensions' tars."""
        folder = dag.directory()
        for tar in await gather_each(self._extension_tar, self._plan.extensions):
            folder = folder.with_directory(".", tar)
        return folder

    async def check_extensions(self) -> None:
        """Raise `BuildError` for extensions that can't go into this plan's images."""
        plan = self._plan
        if not plan.extensions or not plan.builds_initramfs:
            return
        check = await tools(VERIFY)
        paths: list[str] = []
        # Each in a separate folder: in one they would all be copied.
        for extension, tar in zip(
            plan.extensions, await gather_each(self._extension_tar, plan.extensions), strict=True
        ):
            folder = posixpath.join(profile.EXTENSIONS_DIR, extension.name)
            check = check.with_mounted_directory(folder, tar)
            paths.append(posixpath.join(folder, f"{extension.name}.tar"))
        check = check.with_mounted_file(_KERNEL, self._imager.file(f"/{install_folder(plan.arch)}vmlinuz")).with_exec(
            commands.check_extensions(paths, plan.talos_version, plan.arch, _KERNEL), expect=dagger.ReturnType.ANY
        )
        if await check.exit_code() != 0:
            raise BuildError("an extension is refused:\n" + await check.stdout() + await check.stderr())

    async def _installer_base(self) -> dagger.Directory:
        return await self._bases.get(None, self._unpacked_base)

    async def _unpacked_base(self) -> dagger.Directory:
        image, platform = self._plan.installer_base, self._plan.arch.platform
        archive = image_of(image, platform).as_tarball(media_types=dagger.ImageMediaTypes.OCIMediaTypes)
        command = commands.unpack_base_installer("/in/base.tar", "/out/base", self._plan.arch)

        async def unpacked() -> dagger.Directory:
            folder, _ = await gather_two(
                lambda: known_by_id(dag.directory().with_file("base.tar", archive)), lambda: tools(NORMALISE)
            )
            return await known_by_id((await normalised({"/in": folder}, command)).directory("/out/base"))

        return (await gather_two(unpacked, lambda: check_platform(image, platform)))[0]

    async def _overlay(self) -> dagger.Directory:
        """Return the folder of the overlay's tars: for where the imager runs, and for the nodes."""
        overlay = self._plan.overlay
        assert overlay is not None
        folder = dag.directory()
        for platform in profile.overlay_platforms(overlay):
            path = profile.overlay_path(platform).rpartition("/")[2]
            root = await overlay_root(overlay, platform)
            folder = folder.with_directory(".", self._packed(root, path.removesuffix(".tar")))
        return folder

    # --- runs -------------------------------------------------------------------------------------------------

    async def initramfs(self) -> dagger.File:
        """Return the initramfs with all extensions: what every output that boots embeds."""
        plan = self._plan
        if self._assembles and plan.extensions:
            return await assembled(plan, self._imager, lambda: gather_each(self._packed_extension, plan.extensions))
        if plan.extensions and self._is_unproven:
            say(one_run_reason(plan.talos_version))
        return await in_one_run(plan, self._imager, await self.extensions())

    async def output(self, output: PlannedOutput, imager: dagger.Container) -> dagger.File:
        """Return the file of an output other than the initramfs, of an imager that has what is embedded."""
        run = output.kind_name
        if output.base_installer:
            imager = imager.with_mounted_directory(
                profile.INSTALLER_BASE_DIR, await self._installer_base(), read_only=True
            )
        if output.overlay:
            imager = imager.with_mounted_directory(profile.OVERLAY_DIR, await self._overlay(), read_only=True)
        if output.signed:
            assert self._keys is not None
            imager = await self._keys.mounted(imager)
        if output.disk_size is not None:
            imager = with_sparse_disks(imager)
        if output.privileged is not None:
            imager = await with_loop_devices(imager)
        made = imager.with_exec(
            ["-"],
            use_entrypoint=True,
            stdin=profile.render(self._profiles[run]),
            insecure_root_capabilities=output.privileged is not None,
        ).directory(profile.OUT_DIR)
        return await self._finished(output, made)

    async def _finished(self, output: PlannedOutput, made: dagger.Directory) -> dagger.File:
        """Take out of an output what the imager leaves to chance; make a disk image its format, and pack it."""
        name = output.imager_file
        if output.base_installer:
            command = commands.normalise_installer(f"/in/{name}", f"/out/{name}", self._epoch)
            return (await normalised({"/in": made}, command)).file(f"/out/{name}")
        if output.boots:
            command = commands.ipxe_script(f"/in/{name}", "/out/script.ipxe", *output.boots)
            return (await normalised({"/in": made}, command)).file("/out/script.ipxe")
        if output.disk_format is not DiskFormat.RAW:
            name, made = await self._converted(output, made)
        if output.compression is not Compression.NONE:
            out = f"/out/{name}{output.compression.value}"
            epoch = self._epoch if output.compression is Compression.TAR else None
            command = commands.pack(f"/in/{name}", out, output.compression, epoch)
            return (await normalised({"/in": made}, command)).file(out)
        return made.file(name)

    async def _converted(self, output: PlannedOutput, made: dagger.Directory) -> tuple[str, dagger.Directory]:
        """Return a disk image in its format: its name, and the folder that it is in."""
        plan, form = self._plan, output.disk_format
        name = output.imager_file.removesuffix(DiskFormat.RAW) + form.value
        command = commands.convert_disk(
            f"/in/{output.imager_file}", f"/out/{name}", form, self._epoch, f"talos-{plan.talos_version}", plan.arch
        )
        container = await tools("ci.steps.disks", packages=commands.CONVERTERS.get(form, ()))
        return name, container.with_mounted_directory("/in", made).with_exec(command).directory("/out")

    # --- what comes out ---------------------------------------------------------------------------------------

    async def _checked(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do work while the inputs are checked. A fault of an input is reported first: it is why the work fails."""
        done: list[T] = []
        failed: list[BaseException] = []

        async def attempt() -> None:
            try:
                done.append(await work())
            except (dagger.QueryError, CozystackTalosError) as error:
                failed.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt)
            await check_overlay(self._plan)
            await self.check_extensions()
        if failed:
            raise failed[0]
        return done[0]

    async def outputs(self) -> dict[str, dagger.File]:
        """Return the outputs by path, none of them made yet."""
        with together():
            return await self._described()

    async def _described(self) -> dict[str, dagger.File]:
        initramfs, _ = await gather_two(self._initramfs_if_any, self._describe_base)
        embedding = self._imager
        if initramfs and any(output.initramfs is Initramfs.READY for output in self._plan.outputs):
            embedding = embedding.with_mounted_file(profile.INITRAMFS_PATH, initramfs)

        async def file(output: PlannedOutput) -> dagger.File:
            if initramfs and output.initramfs is Initramfs.BUILT:
                return initramfs
            return await self.output(output, embedding if output.initramfs is Initramfs.READY else self._imager)

        return await self._of_outputs(file)

    async def _initramfs_if_any(self) -> dagger.File | None:
        self._initramfs = await self.initramfs() if self._plan.builds_initramfs else None
        self._initramfs_is_known.set()
        return self._initramfs

    async def _begin(self) -> None:
        """Have the initramfs made while all else is described; an error of it is the seal's, which needs it."""
        await self._initramfs_is_known.wait()
        if self._initramfs:
            with suppress(dagger.QueryError):
                await self._initramfs.sync()

    async def _describe_base(self) -> None:
        """Describe the installer's base to the engine, while the initramfs is described."""
        if any(output.base_installer for output in self._plan.outputs):
            await self._installer_base()

    async def made(self) -> dict[str, dagger.File]:
        """Return the outputs by path; independent ones are made at the same time. An error names the output."""
        return await self._checked(self._made)

    async def _made(self) -> dict[str, dagger.File]:
        files = await self.outputs()

        async def make(output: PlannedOutput) -> dagger.File:
            try:
                return await files[output.path].sync()
            except dagger.QueryError as error:
                raise unprivileged(error, output) from None

        return await self._of_outputs(make)

    async def _of_outputs(self, work: Callable[[PlannedOutput], Awaitable[dagger.File]]) -> dict[str, dagger.File]:
        outputs = self._plan.outputs
        return {output.path: file for output, file in zip(outputs, await gather_each(work, outputs), strict=True)}

    def folder(self, files: Mapping[str, dagger.File], below: str = "") -> dagger.Directory:
        """Return outputs at their paths, below a folder."""
        folder = dag.directory()
        # Copied one after the other: the installer is ready last, and the others do not wait for it.
        last = {output.path for output in self._plan.outputs if output.base_installer}
        for path, file in sorted(files.items(), key=lambda item: (item[0] in last, item[0])):
            folder = folder.with_file(posixpath.join(below, path), file, permissions=0o644)
        if self._plan.stand_in:
            folder = folder.with_new_file(posixpath.join(below, STAND_IN_FILE), STAND_IN_TEXT)
        return folder

    async def sealed(self, records: dagger.Directory | None = None, place: str | None = None) -> BuiltAssets:
        """Return the outputs with their checksums and report, at a place; the checks may have failed.

        `records` are files of boots of these outputs, and of signatures of the inputs: they go to the report's side,
        and it names them.

        The engine is asked for everything in one request; only if that fails, for each output in turn, to say which.
        """
        await check_overlay(self._plan)
        sealed, _ = await gather_two(lambda: self._sealed(records, place), self._begin)
        return sealed

    async def _sealed(self, records: dagger.Directory | None, place: str | None) -> BuiltAssets:
        plan = self._plan
        expected = (await with_overlay(expectation(plan), plan)).model_dump_json()
        # They are from the start where `build` returns them: moving them afterwards would copy them all once more.
        # And they are all that the tree holds: of a folder of it the engine would make one more copy to export it.
        place = place or assets_path(plan)
        outputs, _ = await gather_two(self.outputs, lambda: tools(VERIFY))
        tree = self.folder(outputs, place)
        if records is not None:
            tree = tree.with_directory(posixpath.join(place, VALIDATION), records)
        try:
            return await self._checked(lambda: seal(plan, tree, place, expected))
        except dagger.QueryError:
            await self.made()
            raise
