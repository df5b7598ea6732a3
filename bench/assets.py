"""How fast assets are inspected, and in how much memory. Prints a table; run it on an idle machine:

    python bench/assets.py [FOLDER]

Without a folder, one is made of the sizes that real assets have: a kernel of 20 MB, an initramfs of 110 MB that expands
to some 320 MB in squashfs images, and a UKI and an ISO that embed both. Each run is a process of its own; the folder
was read before, so that no disk is measured. The targets are for 2 cores and a folder of 300 MB.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP))

from tests.unit.inspect import sample_media, samples  # noqa: E402 (not installed: read from the checkout)
from tests.unit.inspect.samples import File  # noqa: E402
from tests.unit.verify.assets import RELEASE, drbd, spin  # noqa: E402

RUNS = 5
MB = 1_000_000
#: What is measured, and its command.
COMMANDS = {
    "inspect, text": ["ci.steps.inspect", "show", "{}"],
    "inspect, JSON": ["ci.steps.inspect", "show", "{}", "--format", "json"],
    "verify": ["ci.steps.verify", "check", "--assets", "{}"],
}


def programs(size: int, seed: int) -> bytes:
    """Return bytes that pack as programs do, to a third; the first are those of an ELF file."""
    chance = random.Random(seed)  # noqa: S311 (no secret)
    pieces = (chance.randbytes(1000) + bytes([number % 251]) * 2000 for number in range(size // 3000))
    return samples.elf("arm64", b"".join(pieces))


def make(folder: Path) -> None:
    """Write assets of real sizes."""
    root = [File(f"usr/bin/program{number}", programs(6 * MB, number), 0o755) for number in range(40)]
    rootfs = samples.squashfs(root, block_size=128 * 1024)
    base = [File("init", programs(5 * MB, 99), 0o755), File("rootfs.sqsh", rootfs)]
    extensions = [spin(), drbd()]
    extensions[0].files.append(File("usr/local/bin/shim", programs(60 * MB, 7), 0o755))
    files = [File(f"{n}.sqsh", samples.squashfs(one.files, block_size=128 * 1024)) for n, one in enumerate(extensions)]
    index = samples.squashfs([File(f"usr/lib/modules/{RELEASE}/modules.dep", b"")])
    layers = [samples.layer(f"{n}.sqsh", one.name, one.version) for n, one in enumerate(extensions)]
    layers.append(samples.layer("modules.dep.sqsh", "modules.dep", RELEASE, ""))
    files += [File("extensions.yaml", samples.layers_yaml(layers)), File("modules.dep.sqsh", index)]
    initramfs = samples.zstd(samples.cpio(base)) + samples.zstd(samples.cpio(files))
    kernel = samples.kernel(RELEASE, payload=programs(20 * MB, 5))
    uki, loader = samples.uki(kernel, initramfs), samples.boot_loader()
    boot = [File("EFI/BOOT/BOOTAA64.EFI", loader), File("EFI/Linux/Talos-v1.13.6.efi", uki)]
    outputs = {
        "boot/vmlinuz": kernel,
        "boot/initramfs.xz": initramfs,
        "uki/metal-arm64-uki.efi": uki,
        "iso/metal-arm64.iso": sample_media.iso(boot),
    }
    for name, data in outputs.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)


def run(command: list[str]) -> tuple[float, float]:
    """Run a command once; return its seconds and its peak memory in MB."""
    began = time.perf_counter()
    # The words are this file's own, and a folder.
    with subprocess.Popen([sys.executable, "-m", *command], cwd=TOP, stdout=subprocess.DEVNULL) as process:  # noqa: S603
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - began, usage.ru_maxrss * 1024 / MB


def measure(folder: Path) -> None:
    """Measure, and print the table."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MB
    title = f"{size:.0f} MB of assets, {os.cpu_count()} cores"
    table = Table("measured", "median", "target", "all runs", "peak memory", "target", title=title)
    for name, command in COMMANDS.items():
        runs = [run([word.format(folder) for word in command]) for _ in range(RUNS + 1)][1:]
        seconds = [one for one, _ in runs]
        shown = " ".join(f"{one:.2f}" for one in seconds)
        memory = max(one for _, one in runs)
        table.add_row(name, f"{statistics.median(seconds):.2f} s", "≤ 10 s", shown, f"{memory:.0f} MB", "≤ 300 MB")
    Console().print(table)


def main() -> None:
    """Measure the folder given, or one that is made."""
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]).resolve())
        return
    with tempfile.TemporaryDirectory() as scratch:
        # In a process that ends: what this one holds would count as the peak of those it starts.
        making = multiprocessing.get_context("spawn").Process(target=make, args=(Path(scratch),))
        making.start()
        making.join()
        measure(Path(scratch))


if __name__ == "__main__":
    main()
