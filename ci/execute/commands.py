"""Command lines of what runs in containers, and which of this project's modules each of them needs there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ci.plan.outputs import DiskFormat
from ci.workloads.names import CHOSEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ci.common.arch import Arch
    from ci.plan.outputs import Compression

#: Rooms that a program needs which knows plans, and reads and judges what came of them.
_JUDGING: Final = ("common", "inspect", "load", "plan", "report", "resolve", "verify")


#: Pytest on all cores, by pytest-xdist. Whoever has nothing left to do takes over tests of those who have.
PARALLEL: Final = ("--numprocesses", "auto", "--dist", "worksteal")


def _of(program: str, *rooms: str) -> tuple[str, ...]:
    return "__init__.py", "steps/__init__.py", f"steps/{program}", *rooms


#: Module with a command line → what it needs of `ci/`. A container holds nothing more, so that editing another module
#: does not run it again.
NEEDED: Final = {
    "ci.steps.boot": _of("boot.py", "boot", *_JUDGING),
    "ci.steps.commit": _of("commit.py"),
    "ci.steps.disks": _of("disks", "common", "inspect", "steps/normalise"),
    "ci.steps.compare": _of("compare.py", "common", "compare", "inspect", "report"),
    "ci.steps.fill": _of("fill.py"),
    "ci.steps.images": _of("images", *_JUDGING),
    "ci.steps.inspect": _of("inspect.py", "common", "inspect", "report"),
    "ci.steps.key": _of("key.py", "node"),
    "ci.steps.normalise": _of("normalise", "common", "inspect"),
    "ci.steps.oci": _of("oci", "common", "inspect", "steps/normalise"),
    "ci.steps.overlay": _of("overlay.py", "common", "plan", "resolve"),
    "ci.steps.verify": _of("verify.py", *_JUDGING),
    "ci.steps.workloads": _of("workloads.py", "common", "workloads"),
}

#: What `ci.verify` ends with when it has checked: all passed, some failed. Likewise `ci.inspect`, when it has compared.
#: Anything else is no answer.
CHECKED: Final = (0, 1)


#: Debian packages with the program that writes a disk image's format; those that are not here need none.
CONVERTERS: Final[Mapping[DiskFormat, tuple[str, ...]]] = dict.fromkeys(
    (DiskFormat.QCOW2, DiskFormat.COMPRESSED_QCOW2, DiskFormat.VHD), ("qemu-utils",)
)


def pip_install(requirements: str, constraints: str, *, compiled: bool = True) -> list[str]:
    """Install what a requirements file names, in the versions of a constraints file, on top of what the image has.

    Compiled once, it need not be in each run; where there is but one run, only what is imported is worth it.
    """
    return [
        *("python", "-m", "pip", "install", "--quiet", "--break-system-packages", "--ignore-installed"),
        *(() if compiled else ("--no-compile",)),
        *("--requirement", requirements, "--constraint", constraints),
    ]


def compile_modules(folder: str) -> list[str]:
    """Compile a folder's Python modules, so that not every run does it anew. The bytes follow from the files alone."""
    return ["python", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", folder]


def first_run(module: str) -> list[str]:
    """Have a module's program say how it is used, for the sake of what Python keeps then: what it imports, compiled.

    Python's image comes without its own library compiled, which costs each run half a second.
    """
    return ["env", "--unset=PYTHONDONTWRITEBYTECODE", "python", "-m", module, "--help"]


def pytest(folder: str) -> list[str]:
    """Run a folder's tests on all cores; pytest's cache is not written."""
    return ["python", "-m", "pytest", "-p", "no:cacheprovider", "--quiet", *PARALLEL, folder]


def tar(folder: str, out: str, epoch: int) -> list[str]:
    """Pack a folder into a tar of which the bytes follow from the files alone (GNU tar)."""
    return [
        *("tar", "--create", f"--file={out}", f"--directory={folder}"),
        *("--sort=name", "--format=gnu", "--numeric-owner", "--owner=0", "--group=0", f"--mtime=@{epoch}"),
        ".",
    ]


def sha256(path: str) -> list[str]:
    """Print a file's digest, and its path (GNU coreutils)."""
    return ["sha256sum", path]


def describe_commit(checkout: str) -> list[str]:
    """Print which commit a checkout is at."""
    return ["python", "-m", "ci.steps.commit", checkout]


def check_extensions(paths: Sequence[str], talos_version: str, arch: Arch, kernel: str | None = None) -> list[str]:
    """Check all extensions of a plan together: two of the same name are only seen so."""
    return [
        *("python", "-m", "ci.steps.verify", "extensions"),
        *("--talos", talos_version, "--arch", arch.value),
        *(("--kernel", kernel) if kernel else ()),
        *paths,
    ]


def describe_overlay(host: str, nodes: str, name: str, options: str, out: str) -> list[str]:
    """Have an overlay's installer show what it leaves in assets."""
    given = ("--host", host, "--nodes", nodes, "--name", name, "--options", options, "--output", out)
    return ["python", "-m", "ci.steps.overlay", *given]


def seal(assets: str, expectation: str, plan: str) -> list[str]:
    """Write checksums and report into a folder of assets, and check it."""
    return ["python", "-m", "ci.steps.verify", "seal", "--assets", assets, "--expect", expectation, "--plan", plan]


def verify(assets: str, expectation: str | None, form: str, signed: str | None = None) -> list[str]:
    """Check a folder of assets, against an expectation or against what the assets say of themselves.

    `signed` is the file with what cosign says of the signatures in the folder.
    """
    more = [*(("--expect", expectation) if expectation else ()), *(("--signed", signed) if signed else ())]
    return ["python", "-m", "ci.steps.verify", "check", "--assets", assets, *more, "--format", form]


def check_image(
    image: str, name: str, expected: str, form: str, *, about: str | None = None, assets: str | None = None
) -> list[str]:
    """Check a container image, by what crane says of it; `assets` is the expectation for what it holds, `-`: none."""
    more = [*(("--about", about) if about else ()), *(("--assets-expect", assets) if assets else ())]
    return ["python", "-m", "ci.steps.images", image, "--name", name, "--expect", expected, *more, "--format", form]


def inspect(path: str, name: str, form: str, *, whole: bool = False) -> list[str]:
    """Show what is inside a file or folder, under a given name."""
    return ["python", "-m", "ci.steps.inspect", "show", path, "--name", name, "--format", form, *["--all"] * whole]


def diff(before: str, after: str, names: tuple[str, str], form: str, *, fail_on_change: bool) -> list[str]:
    """Tell what changed from one file or folder to another."""
    fail = ["--fail-on-change"] if fail_on_change else []
    return ["python", "-m", "ci.steps.inspect", "diff", before, after, "--names", *names, "--format", form, *fail]


def compare(one: str, other: str, form: str) -> list[str]:
    """Compare two folders byte by byte."""
    return ["python", "-m", "ci.steps.compare", one, other, "--format", form]


def normalise_initramfs(source: str, out: str, epoch: int) -> list[str]:
    """Set the times that the imager left in an initramfs."""
    return ["python", "-m", "ci.steps.normalise", "initramfs", source, out, "--epoch", str(epoch)]


def assemble_initramfs(base: str, out: str, epoch: int, runs: Iterable[tuple[Sequence[int], str]]) -> list[str]:
    """Put an initramfs together from imager runs' ones, each given by the numbers of its extensions and its file."""
    given = [word for numbers, path in runs for word in ("--run", f"{','.join(map(str, numbers))}={path}")]
    return ["python", "-m", "ci.steps.normalise", "assemble", base, out, "--epoch", str(epoch), *given]


def normalise_installer(source: str, out: str, epoch: int) -> list[str]:
    """Set the times in an installer's archive."""
    return ["python", "-m", "ci.steps.normalise", "installer", source, out, "--epoch", str(epoch)]


def unpack_base_installer(source: str, out: str, arch: Arch) -> list[str]:
    """Unpack an image's OCI archive into a layout that the imager reads."""
    return ["python", "-m", "ci.steps.normalise", "base-installer", source, out, "--arch", arch.value]


def pack(source: str, out: str, compression: Compression, epoch: int | None = None) -> list[str]:
    """Pack a disk image; a tar needs the time of its file."""
    options = ("--format", compression.value.removeprefix("."), *(() if epoch is None else ("--epoch", str(epoch))))
    return ["python", "-m", "ci.steps.normalise", "pack", source, out, *options]


def convert_disk(source: str, out: str, form: DiskFormat, epoch: int, name: str, arch: Arch) -> list[str]:
    """Make a raw disk image another format; `name` is what a virtual machine is called."""
    options = ("--format", form.value, "--epoch", str(epoch), "--name", name, "--arch", arch.value)
    return ["python", "-m", "ci.steps.disks", source, out, *options]


def ipxe_script(source: str, out: str, kernel: str, initramfs: str) -> list[str]:
    """Write a script of iPXE that boots a kernel with the arguments in a file."""
    urls = ("--kernel", kernel, "--initramfs", initramfs)
    return ["python", "-m", "ci.steps.normalise", "ipxe", source, out, *urls]


def fill(source: str, out: str, placeholder: str, secret: str) -> list[str]:
    """Put the secret in a file into a text, in place of its placeholder."""
    return ["python", "-m", "ci.steps.fill", source, out, "--placeholder", placeholder, "--secret", secret]


def describe_key(secret: str) -> list[str]:
    """Tell what kind of key the secret in a file is."""
    return ["python", "-m", "ci.steps.key", secret]


def make_image(spec: str, out: str, *, base: str | None = None, root: str | None = None) -> list[str]:
    """Make an image's OCI layout of a base's layers and a folder's files."""
    layers = [*(("--base", base) if base else ()), *(("--root", root) if root else ())]
    return ["python", "-m", "ci.steps.oci", spec, out, *layers]


def apt_install(packages: Sequence[str]) -> list[str]:
    """Install Debian packages.

    Without the images of flash chips with firmware, 64 MB each: QEMU gets the firmware as a plain file.
    """
    script = (
        "apt-get -qq update\n"
        "apt-get -qq install --yes --no-install-recommends "
        '-o "Dpkg::Options::=--path-exclude=/usr/share/AAVMF/*" "$@"\n'
        "rm -rf /var/lib/apt/lists/*"
    )
    return ["sh", "-ec", script, "apt-install", *packages]


def boot(request: str, assets: str, out: str, *, kvm: bool = False) -> list[str]:
    """Boot assets, and write log, verdict and timeline."""
    return [
        *("python", "-m", "ci.steps.boot", "run", "--request", request, "--assets", assets, "--out", out),
        *(("--kvm",) if kvm else ()),
    ]


def find_workloads(checkout: str, name: str, rendered: str | None = None) -> list[str]:
    """Find the images that a checkout's packages run; `rendered` has what Helm made of them."""
    more = ["--rendered", rendered] if rendered else []
    # In one word: a name may begin with dashes, as an option's does.
    return ["python", "-m", "ci.steps.workloads", checkout, f"--name={name}", *more]


def helm_templates(checkout: str, values: str, out: str) -> list[str]:
    """Render every package of a checkout with Helm, a file for each; a chart that it refuses leaves its reason."""
    # A few charts refuse any other name than their own: one that belongs to a tenant is tried as well.
    script = (
        'cd "$1"\n'
        'render() { helm template "$1" "$2" --namespace tenant-root --values "$3"; }\n'
        "for chart in packages/core/* packages/system/* packages/apps/* packages/extra/*; do\n"
        '  [ -f "$chart/Chart.yaml" ] || continue\n'
        '  name="${chart#packages/}"\n'
        '  mkdir -p "$3/${name%/*}"\n'
        '  release="${name#*/}"\n'
        f'  [ "${{name%%/*}}" != apps ] || release="$release-{CHOSEN}"\n'
        '  render "$release" "$chart" "$2" >"$3/$name.yaml" 2>"$3/$name.err" ||\n'
        '    render tenant-root "$chart" "$2" >"$3/$name.yaml" 2>/dev/null || { rm -f "$3/$name.yaml"; continue; }\n'
        '  rm -f "$3/$name.err"\n'
        "done"
    )
    return ["sh", "-ec", script, "helm-templates", checkout, values, out]
