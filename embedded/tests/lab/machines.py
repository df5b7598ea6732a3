"""Virtual machines for the lab's boot files: QEMU and UEFI firmware from Debian packages, in a root of their own."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from embedded import lab
from embedded.lab import debian
from embedded.lab.builder import Builder
from embedded.lab.progress import PlainProgress
from embedded.lab.recipe import Bench, Recipe, Value

Way = Literal["kernel", "uki", "iso", "disk", "disk-bios"]
PACKAGES = ("qemu-system-arm", "qemu-system-x86", "qemu-efi-aarch64", "ovmf")
FIRMWARE = {
    "arm64": "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
    "amd64": "/usr/share/ovmf/OVMF.fd",
}
MACHINES = {
    "arm64": ["qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a57"],
    "amd64": ["qemu-system-x86_64", "-machine", "q35", "-cpu", "max"],
}
SERIAL = {"arm64": "ttyAMA0", "amd64": "ttyS0"}
REMOVABLE = {"arm64": "BOOTAA64.EFI", "amd64": "BOOTX64.EFI"}
# What systemd's stub adds to a UKI's command line.
EXTRA = "io.systemd.stub.kernel-cmdline-extra"
_ENTER = 'mount --bind "$2" "$1/mnt" && exec chroot "$1" "$@"'


@dataclass(frozen=True)
class Machines:
    """A root filesystem with QEMU in it."""

    root: Path

    def boot(
        self,
        architecture: str,
        way: Way,
        folder: Path,
        *,
        arguments: str = "lab.config=",
        required: str = "slab_nomerge pti=on",
        seconds: int = 600,
    ) -> list[str]:
        """Boot what lies in a folder (kernel, initramfs, uki.efi, image.iso, image.raw) and return Talos's lines.

        `arguments` are added to the kernel's, but by disk-bios, where GRUB has them in its menu; `required` are those
        that Talos does not run without, which boot images have of their own. A file config.iso in the folder becomes a
        drive. The machine ends when init has nothing more to do.
        """
        added = f"console={SERIAL[architecture]} lab.poweroff {arguments}".strip()
        command = [*MACHINES[architecture], "-accel", "tcg", "-m", "2048", "-smp", "2", "-nographic", "-no-reboot"]
        command += ["-net", "none"]
        if way == "kernel":
            command += [
                "-kernel",
                "/mnt/kernel",
                "-initrd",
                "/mnt/initramfs",
                "-append",
                f"{required} {added} loglevel=7",
            ]
        else:
            if way != "disk-bios":
                command += ["-bios", FIRMWARE[architecture], "-smbios", f"type=11,value={EXTRA}={added}"]
            command += ["-drive", f"if=none,id=boot,format=raw,{self._medium(architecture, way, folder)}"]
            command += ["-device", "virtio-blk-pci,drive=boot,bootindex=0"]
        if (folder / "config.iso").exists():
            command += ["-drive", "if=none,id=config,format=raw,readonly=on,file=/mnt/config.iso"]
            command += ["-device", "virtio-blk-pci,drive=config"]
        script = _ENTER.replace('"$@"', '"${@:3}"')
        inside = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", script, "bash"]
        with (folder / f"{way}.log").open("wb") as log:
            subprocess.run(
                [*inside, self.root, folder, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        return re.findall(r"\[talos] (.*?)\r?$", self.console(folder, way), re.MULTILINE)

    @staticmethod
    def console(folder: Path, way: Way) -> str:
        """Return all that was on the console of a folder's last boot."""
        return (folder / f"{way}.log").read_bytes().decode(errors="replace")

    def _medium(self, architecture: str, way: Way, folder: Path) -> str:
        if way == "iso":
            return "readonly=on,file=/mnt/image.iso"
        if way in {"disk", "disk-bios"}:
            return "snapshot=on,file=/mnt/image.raw"
        target = folder / "esp/EFI/BOOT" / REMOVABLE[architecture]
        target.parent.mkdir(parents=True)
        target.hardlink_to(folder / "uki.efi")
        return "file=fat:rw:/mnt/esp"


def make_machines(folder: Path) -> Machines:
    """Make the root with QEMU, once for all runs: it is kept beside the lab. `folder` is where it is unpacked."""

    def make(bench: Bench) -> Value:
        return {"layer": debian.root(bench, debian.NATIVE, PACKAGES).as_json()}

    recipe = Recipe("part/qemu", make, inputs={"packages": PACKAGES}, code=(Path(debian.__file__),))
    kept = Builder(lab.folder().with_name("lab-tests"), {recipe.name: recipe}, recipe.name)
    layer = kept.build([recipe.name], PlainProgress())[recipe.name].layer
    root = folder / "qemu"
    root.mkdir()
    subprocess.run(["tar", "-xzf", kept.blobs.path(layer.blob.digest), "-C", root, "--numeric-owner"], check=True)
    return Machines(root)
