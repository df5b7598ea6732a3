"""Ways to break good assets: of each the check that is meant for it, and words of its evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from ci.common.pins import STAND_IN_LABEL
from tests.unit.inspect import samples
from tests.unit.inspect.samples import File
from tests.unit.verify.assets import (
    RELEASE,
    RUNTIME,
    Extension,
    Spec,
    appended_of,
    drbd,
    finished,
    initramfs_of,
    layers_of,
    modules,
    spin,
)

if TYPE_CHECKING:
    from collections.abc import Callable


# Built wrong: the description differs from what was planned (`good()`), checksums and report are true of it.


def extension_removed(spec: Spec) -> Spec:
    return replace(spec, extensions=spec.extensions[1:])


def extension_added(spec: Spec) -> Spec:
    hello = Extension("hello", "v1", [File("usr/local/etc/hello", b"x")])
    return replace(spec, extensions=[*spec.extensions, hello])


def extension_of_another_version(spec: Spec) -> Spec:
    return replace(spec, extensions=[replace(spin(), version="v0.20.0"), drbd()])


def extension_swapped_for_amd64(spec: Spec) -> Spec:
    return replace(spec, extensions=[spin("amd64"), drbd()])


def extension_twice_under_one_name(spec: Spec) -> Spec:
    return replace(spec, extensions=[spin(), drbd(), spin()])


def extension_for_a_later_talos(spec: Spec) -> Spec:
    return replace(spec, extensions=[replace(spin(), constraint=">= v99.0.0"), drbd()])


def extension_for_an_earlier_talos(spec: Spec) -> Spec:
    return replace(spec, extensions=[replace(spin(), constraint=">= v1.0.0 < v1.12.0"), drbd()])


def extension_with_a_senseless_constraint(spec: Spec) -> Spec:
    return replace(spec, extensions=[replace(spin(), constraint="newest"), drbd()])


def with_file(file: File) -> Callable[[Spec], Spec]:
    def change(spec: Spec) -> Spec:
        return replace(spec, extensions=[replace(spin(), files=[*spin().files, file]), drbd()])

    return change


def two_extensions_with_one_file(spec: Spec) -> Spec:
    clash = File("usr/local/bin/containerd-shim-spin-v2", samples.elf("arm64", b"other"), 0o755)
    return replace(spec, extensions=[spin(), replace(drbd(), files=[*drbd().files, clash])])


def second_extension_with(*more: File) -> Callable[[Spec], Spec]:
    def change(spec: Spec) -> Spec:
        return replace(spec, extensions=[spin(), replace(drbd(), files=[*drbd().files, *more])])

    return change


SHIM = "usr/local/bin/containerd-shim-spin-v2"


def firmware_that_everyone_can_write(spec: Spec) -> Spec:
    return replace(spec, more_entries=[File("usr/lib/firmware/open.bin", b"x", 0o666)])


def file_where_a_folder_is(spec: Spec) -> Spec:
    return replace(spec, more_entries=[File("usr/lib/firmware/qed.bin/")])


def init_that_is_a_folder(spec: Spec) -> Spec:
    rootfs = samples.squashfs([File("usr/bin/machined", samples.elf(spec.arch), 0o755)])
    base = samples.zstd(samples.cpio([File("init/"), File("rootfs.sqsh", rootfs)]))
    return replace(spec, initramfs=base + samples.zstd(samples.cpio(appended_of(spec))))


def root_file_system_that_is_a_folder(spec: Spec) -> Spec:
    base = samples.zstd(samples.cpio([File("init", samples.elf(spec.arch), 0o755), File("rootfs.sqsh/")]))
    return replace(spec, initramfs=base + samples.zstd(samples.cpio(appended_of(spec))))


def device_among_the_firmware(spec: Spec) -> Spec:
    device = bytearray(samples.cpio([File("usr/lib/firmware/null", b"")]))
    device[14:22] = b"00002180"  # a character device's mode
    return replace(spec, initramfs=initramfs_of(spec) + samples.zstd(bytes(device)))


def module_of_a_name_that_is_not_planned(spec: Spec) -> Spec:
    files = [File(f"usr/lib/modules/{RELEASE}/extras/drbd_transport.ko", samples.module())]
    return replace(spec, extensions=[spin(), replace(drbd(), files=files)])


def module_that_needs_another(spec: Spec) -> Spec:
    files = [File(f"usr/lib/modules/{RELEASE}/extras/drbd.ko", samples.module(depends="net,libcrc32c,loop-dev"))]
    return replace(spec, extensions=[spin(), replace(drbd(), files=files)])


def compressed_module_that_needs_another(spec: Spec) -> Spec:
    packed = samples.xz(samples.module(depends="lru_cache"))
    files = [File(f"usr/lib/modules/{RELEASE}/extras/drbd.ko.xz", packed)]
    return replace(spec, extensions=[spin(), replace(drbd(), files=files)])


def module_that_is_none(spec: Spec) -> Spec:
    files = [File(f"usr/lib/modules/{RELEASE}/extras/drbd.ko", b"text")]
    return replace(spec, extensions=[spin(), replace(drbd(), files=files)])


def module_that_no_list_has(spec: Spec) -> Spec:
    files = [*drbd().files, File(f"usr/lib/modules/{RELEASE}/extras/more.ko", samples.module())]
    return replace(spec, extensions=[spin(), replace(drbd(), files=files)])


def runtime(text: str, *more: File) -> Callable[[Spec], Spec]:
    def change(spec: Spec) -> Spec:
        shim, part = spin().files
        files = [shim, replace(part, data=text.encode()), *more]
        return replace(spec, extensions=[replace(spin(), files=files), drbd()])

    return change


def shim_that_is_missing(spec: Spec) -> Spec:
    return replace(spec, extensions=[replace(spin(), files=spin().files[1:]), drbd()])


def module_folder_of_another_kernel(spec: Spec) -> Spec:
    return replace(spec, extensions=[spin(), replace(drbd(), files=modules("6.12.52-talos"))])


def module_built_for_another_kernel(spec: Spec) -> Spec:
    return replace(spec, extensions=[spin(), replace(drbd(), files=modules(vermagic="6.12.52-talos"))])


def compressed_module_built_for_another_kernel(spec: Spec) -> Spec:
    packed = samples.zstd(samples.module("arm64", "6.12.52-talos"))
    files = [*modules(), File(f"usr/lib/modules/{RELEASE}/extras/more.ko.zst", packed)]
    return replace(spec, extensions=[spin(), replace(drbd(), files=files)])


def modules_without_an_index(spec: Spec) -> Spec:
    return replace(spec, layers=layers_of(spec)[:-1])


def tailscale_slipped_into_an_extension(spec: Spec) -> Spec:
    return with_file(File("usr/local/bin/tailscaled", samples.elf(), 0o755))(spec)


def image_that_is_not_listed(spec: Spec) -> Spec:
    return replace(spec, more_entries=[File("7.sqsh", samples.squashfs([File("usr/local/x", b"x")]))])


def image_that_is_listed_but_missing(spec: Spec) -> Spec:
    files = [file for file in appended_of(spec) if file.path != "0.sqsh"]
    return replace(spec, initramfs=initramfs_of(spec, files))


def initramfs_without_root_file_system(spec: Spec) -> Spec:
    base = samples.zstd(samples.cpio([File("init", samples.elf(), 0o755)]))
    return replace(spec, initramfs=base + samples.zstd(samples.cpio(appended_of(spec))))


def initramfs_packed_twice(spec: Spec) -> Spec:
    # What the imager makes of an initramfs that already had extensions.
    again = samples.zstd(samples.cpio(appended_of(spec)))
    return replace(spec, initramfs=initramfs_of(spec) + again)


def stray_file_in_the_initramfs(spec: Spec) -> Spec:
    return replace(spec, more_entries=[File("opt/"), File("opt/stray", b"x")])


def kernel_of_amd64(spec: Spec) -> Spec:
    return replace(spec, kernel=samples.kernel(RELEASE, "amd64"))


def kernel_without_efi_stub(spec: Spec) -> Spec:
    bare = bytearray(samples.kernel(RELEASE))
    bare[0x40:0x44] = bytes(4)
    return replace(spec, kernel=bytes(bare))


def uki_with_another_kernel(spec: Spec) -> Spec:
    return replace(spec, uki_kernel=samples.kernel(RELEASE, payload=b"another build"))


def uki_with_another_initramfs(spec: Spec) -> Spec:
    return replace(spec, uki_initramfs=initramfs_of(spec) + samples.zstd(samples.cpio([])))


def uki_of_amd64(spec: Spec) -> Spec:
    spec = finished(spec)
    return replace(spec, uki=samples.uki(spec.kernel, spec.initramfs, "amd64", spec.talos), installer=b"")


def uki_of_another_talos(spec: Spec) -> Spec:
    spec = finished(spec)
    return replace(spec, uki=samples.uki(spec.kernel, spec.initramfs, talos="v1.13.5"), installer=b"")


def uki_that_names_another_kernel(spec: Spec) -> Spec:
    spec = finished(spec)
    return replace(spec, uki=samples.uki(spec.kernel, spec.initramfs, uname="6.12.52-talos"), installer=b"")


def uki_without_os_release(spec: Spec) -> Spec:
    spec = finished(spec)
    sections = [(".cmdline", samples.CMDLINE.encode()), (".uname", RELEASE.encode())]
    sections += [(".linux", spec.kernel), (".initrd", spec.initramfs)]
    return replace(spec, uki=samples.pe("arm64", sections), installer=b"")


def uki_that_names_no_version(spec: Spec) -> Spec:
    spec = finished(spec)
    uki = samples.uki(spec.kernel, spec.initramfs).replace(b"VERSION_ID=v1.13.6\n", b"VARIANT_ID=v1.13.6\n")
    assert b"VARIANT_ID" in uki
    return replace(spec, uki=uki, installer=b"")


def uki_with_something_else_as_initramfs(spec: Spec) -> Spec:
    spec = finished(spec)
    return replace(spec, uki=samples.uki(spec.kernel, bytes(range(256)) * 4), installer=b"")


def uki_without_a_planned_argument(spec: Spec) -> Spec:
    spec = finished(spec)
    line = samples.CMDLINE.replace(" init_on_alloc=1", "")
    return replace(spec, uki=samples.uki(spec.kernel, spec.initramfs, cmdline=line), installer=b"")


def line_of(length: int) -> str:
    return samples.CMDLINE + " " + "x" * (length - len(samples.CMDLINE) - 1)


def uki_with_a_command_line_of_2048_bytes(spec: Spec) -> Spec:
    spec = finished(spec)
    return replace(spec, uki=samples.uki(spec.kernel, spec.initramfs, cmdline=line_of(2048)), installer=b"")


def uki_without_a_platform(spec: Spec) -> Spec:
    spec = finished(spec)
    line = "init_on_alloc=1 console=tty0"
    return replace(spec, uki=samples.uki(spec.kernel, spec.initramfs, cmdline=line), installer=b"")


def uki_with_line(*changes: tuple[str, str]) -> Callable[[Spec], Spec]:
    def change(spec: Spec) -> Spec:
        spec, line = finished(spec), samples.CMDLINE
        for old, new in changes:
            line = line.replace(old, new)
        return replace(spec, uki=samples.uki(spec.kernel, spec.initramfs, cmdline=line), installer=b"")

    return change


def boot_loader_of_amd64(spec: Spec) -> Spec:
    return replace(spec, loader=samples.boot_loader("amd64"))


def installer_image(spec: Spec) -> tuple[Spec, samples.Image]:
    spec = finished(spec)
    return spec, samples.installer(spec.uki, spec.loader, spec.arch, spec.talos)


def installer_labelled_amd64(spec: Spec) -> Spec:
    spec, image = installer_image(spec)
    return replace(spec, installer=replace(image, architecture="amd64").archive())


def installer_of_another_talos(spec: Spec) -> Spec:
    spec, image = installer_image(spec)
    return replace(spec, installer=replace(image, labels={"alpha.talos.dev/version": "v1.13.5"}).archive())


def installer_without_its_program(spec: Spec) -> Spec:
    # A base image of exactly two layers loses its second.
    spec, image = installer_image(spec)
    return replace(spec, installer=replace(image, layers=image.layers[1:]).archive())


def installer_made_of_an_imager(spec: Spec) -> Spec:
    spec, image = installer_image(spec)
    return replace(spec, installer=replace(image, entrypoint=["/bin/imager"]).archive())


def installer_without_boot_loader(spec: Spec) -> Spec:
    spec, image = installer_image(spec)
    return replace(spec, installer=replace(image, layers=[image.layers[0], image.layers[1][1:]]).archive())


def installer_with_boot_files_of_two_architectures(spec: Spec) -> Spec:
    spec, image = installer_image(spec)
    extra = [File("usr/install/amd64/config", b"x")]
    return replace(spec, installer=replace(image, layers=[*image.layers, extra]).archive())


def installer_with_an_untrue_layer_digest(spec: Spec) -> Spec:
    spec, image = installer_image(spec)
    plain = [samples.tar(layer) for layer in image.layers]
    packed = [samples.gz(layer) for layer in plain]
    config = image.config([plain[1], plain[0]])
    manifest = [{"Config": "config.json", "RepoTags": image.tags, "Layers": ["a.tar.gz", "b.tar.gz"]}]
    members = [File("config.json", config), File("a.tar.gz", packed[0]), File("b.tar.gz", packed[1])]
    return replace(spec, installer=samples.tar([*members, File("manifest.json", json.dumps(manifest).encode())]))


def installer_with_an_untrue_blob_name(spec: Spec) -> Spec:
    spec, image = installer_image(spec)
    plain = [samples.tar(layer) for layer in image.layers]
    packed = [samples.gz(layer) for layer in plain]
    names = [f"{samples.sha(layer)}.tar.gz" for layer in reversed(packed)]
    manifest = [{"Config": "config.json", "RepoTags": image.tags, "Layers": names}]
    members = [File("config.json", image.config(plain)), File(names[0], packed[0]), File(names[1], packed[1])]
    return replace(spec, installer=samples.tar([*members, File("manifest.json", json.dumps(manifest).encode())]))


def installer_from_stand_ins(spec: Spec) -> Spec:
    spec, image = installer_image(spec)
    return replace(spec, installer=replace(image, labels={**image.labels, STAND_IN_LABEL: "true"}).archive())


BUILT_WRONG: list[tuple[Callable[[Spec], Spec], str, str]] = [
    (extension_removed, "extensions.planned", "boot/initramfs.xz lacks spin"),
    (extension_added, "extensions.planned", "boot/initramfs.xz holds hello, not planned"),
    (extension_of_another_version, "extensions.planned", "holds spin v0.20.0, planned is v0.21.0"),
    (
        extension_swapped_for_amd64,
        "elf.machine",
        "/usr/local/bin/containerd-shim-spin-v2 is an ELF file for amd64",
    ),
    (extension_twice_under_one_name, "extensions.unique", "has spin 2 times"),
    (extension_for_a_later_talos, "extensions.compatible", "spin wants Talos >= v99.0.0, this is v1.13.6"),
    (extension_for_an_earlier_talos, "extensions.compatible", "spin wants Talos >= v1.0.0 < v1.12.0"),
    (extension_with_a_senseless_constraint, "extensions.compatible", "'newest' is no version constraint"),
    (with_file(File("opt/stray", b"x")), "extensions.paths", "/opt/stray is outside of the allowed paths"),
    (
        with_file(File("usr/local/up", target="../../../x")),
        "extensions.paths",
        "points to '../../../x', above",
    ),
    (with_file(File("usr/local/open", b"x", 0o666)), "extensions.modes", "/usr/local/open has the mode 0666"),
    (two_extensions_with_one_file, "extensions.overlap", "is in spin and, with other content, in drbd"),
    (
        second_extension_with(File(f"{SHIM}/", mode=0o755)),
        "extensions.overlap",
        "as a directory instead of a file, in drbd",
    ),
    (
        second_extension_with(File(f"{SHIM}/below", b"x")),
        "extensions.overlap",
        f"/{SHIM} is in spin and, as a directory instead of a file, in drbd",
    ),
    (
        second_extension_with(File("usr/local/bin", target="../bin")),
        "extensions.overlap",
        "/usr/local/bin is in spin and, as a symlink instead of a directory, in drbd",
    ),
    (
        second_extension_with(File("usr/local/bin/", mode=0o700)),
        "extensions.overlap",
        "/usr/local/bin is in spin and, with the mode 0700 instead of 0755, in drbd",
    ),
    (
        second_extension_with(File(SHIM, spin().files[0].data, 0o700)),
        "extensions.overlap",
        f"/{SHIM} is in spin and, with the mode 0700 instead of 0755, in drbd",
    ),
    (firmware_that_everyone_can_write, "extensions.modes", "(firmware): /usr/lib/firmware/open.bin has the mode 0666"),
    (file_where_a_folder_is, "initramfs.duplicates", "has /usr/lib/firmware/qed.bin 2 times"),
    (init_that_is_a_folder, "initramfs.base", "/init is a directory, no program"),
    (root_file_system_that_is_a_folder, "initramfs.base", "/rootfs.sqsh is a directory, no squashfs image"),
    (device_among_the_firmware, "initramfs.nothing-else", "/usr/lib/firmware/null is a character"),
    (module_folder_of_another_kernel, "modules.kernel", "drbd.ko is for 6.12.52-talos, the kernel is 6.18.38-talos"),
    (module_built_for_another_kernel, "modules.kernel", "drbd.ko was built for 6.12.52-talos"),
    (compressed_module_built_for_another_kernel, "modules.kernel", "more.ko.zst was built for 6.12.52-talos"),
    (module_that_is_none, "modules.kernel", "drbd.ko does not say which kernel it was built for"),
    (module_that_no_list_has, "modules.index", "extras/more.ko of drbd is not in the modules.dep"),
    (
        module_that_needs_another,
        "modules.dependencies",
        "extras/drbd.ko needs the module libcrc32c, which is nowhere in the image",
    ),
    (runtime("runtimes = {"), "runtimes.defined", "/etc/cri/conf.d/10-spin.part is no TOML"),
    (
        runtime(RUNTIME.replace("io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri")),
        "runtimes.defined",
        "defines spin below 'io.containerd.grpc.v1.cri', this Talos's containerd reads 'io.containerd.cri.v1.runtime'",
    ),
    (runtime(RUNTIME.replace("spin.v2", "spin.v3")), "runtimes.shims", "spin starts containerd-shim-spin-v3, which is"),
    (
        runtime(f'{RUNTIME}  options = {{ BinaryName = "/usr/local/bin/crun" }}\n'),
        "runtimes.shims",
        "spin starts /usr/local/bin/crun, which is nowhere in the image",
    ),
    (runtime(RUNTIME.replace("runtime_type", "type")), "runtimes.shims", "spin has no runtime_type"),
    (shim_that_is_missing, "runtimes.shims", "spin starts containerd-shim-spin-v2, which is nowhere in the image"),
    (modules_without_an_index, "modules.index", "drbd carry modules, but no modules.dep.sqsh"),
    (tailscale_slipped_into_an_extension, "extensions.absent", "0.sqsh: /usr/local/bin/tailscaled"),
    (image_that_is_not_listed, "extensions.listed", "7.sqsh is there, but extensions.yaml does not list it"),
    (image_that_is_listed_but_missing, "extensions.listed", "lists 0.sqsh, which is not there"),
    (initramfs_without_root_file_system, "initramfs.base", "boot/initramfs.xz lacks /rootfs.sqsh"),
    (initramfs_packed_twice, "initramfs.duplicates", "has /0.sqsh 2 times"),
    (stray_file_in_the_initramfs, "initramfs.nothing-else", "holds /opt/stray"),
    (kernel_of_amd64, "kernel.machine", "boot/vmlinuz is for amd64, arm64 is wanted"),
    (kernel_without_efi_stub, "kernel.machine", "has no EFI header"),
    (uki_with_another_kernel, "kernel.same", "uki/metal-arm64-uki.efi:.linux"),
    (uki_with_another_initramfs, "initramfs.same", "uki/metal-arm64-uki.efi:.initrd"),
    (uki_of_amd64, "uki.machine", "uki/metal-arm64-uki.efi is for amd64, arm64 is wanted"),
    (uki_of_another_talos, "uki.version", "uki/metal-arm64-uki.efi is Talos v1.13.5, v1.13.6 is wanted"),
    (uki_that_names_no_version, "uki.version", "uki/metal-arm64-uki.efi names no version"),
    (uki_that_names_another_kernel, "uki.release", "names the kernel 6.12.52-talos, inside is 6.18.38-talos"),
    (uki_without_os_release, "uki.sections", "uki/metal-arm64-uki.efi lacks .osrel"),
    (uki_with_something_else_as_initramfs, "uki.sections", "metal-arm64-uki.efi:.initrd is a data, no initramfs"),
    (uki_without_a_planned_argument, "cmdline.arguments", "uki/metal-arm64-uki.efi:.cmdline lacks init_on_alloc=1"),
    (uki_without_a_platform, "cmdline.arguments", "has no talos.platform="),
    (
        uki_with_line(("=metal", "=aws"), ("console=ttyAMA0 console=tty0", "console=tty1 console=ttyS0 net.ifnames=0")),
        "cmdline.platform",
        "uki/metal-arm64-uki.efi:.cmdline is for the platform aws, metal is planned",
    ),
    (
        uki_with_line(("=metal", "=mettal")),
        "cmdline.platform",
        "is for the platform 'mettal', which Talos does not know: metal is meant?",
    ),
    (
        uki_with_line(("=metal", "=metal talos.platform=aws")),
        "cmdline.platform",
        "is for several platforms: metal, aws",
    ),
    (
        uki_with_line(("console=ttyAMA0", "console=ttyS0")),
        "cmdline.platform",
        "lacks console=ttyAMA0, which goes with the platform metal",
    ),
    (
        uki_with_a_command_line_of_2048_bytes,
        "cmdline.length",
        "uki/metal-arm64-uki.efi:.cmdline has 2048 bytes, the kernel takes 2047 and passes over the rest",
    ),
    (boot_loader_of_amd64, "boot-loader.machine", "systemd-boot.efi is for amd64, arm64 is wanted"),
    (installer_labelled_amd64, "installer.architecture", "is for linux/amd64, linux/arm64 is wanted"),
    (installer_of_another_talos, "installer.version", "=v1.13.5, v1.13.6 is wanted"),
    (installer_without_its_program, "installer.entrypoint", "its entrypoint /bin/installer is not in the image"),
    (installer_made_of_an_imager, "installer.entrypoint", "its entrypoint /bin/imager is no installer"),
    (installer_without_boot_loader, "installer.boot-files", "lacks /usr/install/arm64/systemd-boot.efi"),
    (installer_with_boot_files_of_two_architectures, "installer.boot-files", "holds /usr/install/amd64/config"),
    (installer_with_an_untrue_layer_digest, "installer.digests", "the configuration claims"),
    (installer_with_an_untrue_blob_name, "installer.digests", "has the digest"),
    (installer_from_stand_ins, "report.stand-in", "there is no STAND-IN.txt"),
]


# Broken after the build: the files on disk are changed, the report is not.
