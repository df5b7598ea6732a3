"""What the lab's images hold, read through their registry."""

from __future__ import annotations

import gzip
import json
import re
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from embedded import lab
from embedded.lab.builder import Builder, NoProgress
from embedded.lab.contents.releases import MAIN, RELEASES
from embedded.lab.debian import NATIVE
from embedded.setup.paths import EMBEDDED

from .conftest import Registry

pytestmark = [pytest.mark.lab, pytest.mark.slow]

EXTENSIONS = "ghcr.io/siderolabs"
OTHER_THAN_EXTENSIONS = re.compile("broken|install|imager|sbc-|overlays")
MACHINES = {"amd64": 62, "arm64": 183}
"""e_machine of ELF files."""
PE_MACHINES = {"amd64": 0x8664, "arm64": 0xAA64}


def elf_machine(content: bytes) -> int | None:
    return struct.unpack_from("<H", content, 18)[0] if content.startswith(b"\x7fELF") else None


def pe(content: bytes) -> tuple[int, list[str]]:
    """Machine and section names of a PE file."""
    assert content[:2] == b"MZ"
    header = struct.unpack_from("<I", content, 0x3C)[0]
    assert content[header : header + 4] == b"PE\0\0"
    machine, count = struct.unpack_from("<HH", content, header + 4)
    first = header + 24 + struct.unpack_from("<H", content, header + 20)[0]
    names = [content[first + 40 * i : first + 40 * i + 8].rstrip(b"\0").decode() for i in range(count)]
    return machine, names


def test_registry_lists_the_tags(registry: Registry) -> None:
    tags = registry.crane("ls", f"{registry.address}/{EXTENSIONS}/imager").decode().split()
    # Other versions are there once something has asked for them.
    assert [tag for tag in tags if tag in {release.talos for release in MAIN}] == ["v1.11.3", "v1.13.6"]
    assert set(tags) <= {release.talos for release in RELEASES}
    assert registry.crane("ls", f"{registry.address}/quay.io/poseidon/matchbox").decode().split() == [
        "v0.10.0",
        "v0.11.0",
    ]


@pytest.mark.parametrize("reference", [name for name in lab.images() if not re.search("broken|cosign", name)])
def test_image_has_both_platforms_and_the_mark(registry: Registry, reference: str) -> None:
    index = registry.manifest(reference)
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert [one["platform"]["architecture"] for one in index["manifests"]] == ["amd64", "arm64"]
    assert index["annotations"]["io.cozystack.talos.stand-in"] == "true"
    for architecture in MACHINES:
        config = registry.config(reference, architecture)
        assert config["architecture"] == architecture
        assert config["config"]["Labels"]["io.cozystack.talos.stand-in"] == "true"
        assert config["config"]["Labels"]["org.opencontainers.image.description"].startswith("STAND-IN: ")


@pytest.mark.parametrize("architecture", MACHINES)
@pytest.mark.parametrize(
    ("reference", "program"),
    [
        ("docker.io/library/debian:trixie-slim", "usr/bin/bash"),
        ("docker.io/library/python:3.13-slim-trixie", "usr/bin/python3.13"),
        ("ghcr.io/siderolabs/imager:v1.13.6", "usr/bin/mksquashfs"),
    ],
)
def test_root_is_trixie_of_its_architecture(
    registry: Registry, reference: str, program: str, architecture: str
) -> None:
    files = registry.export(reference, architecture)
    assert b"VERSION_CODENAME=trixie" in files["usr/lib/os-release"][1]
    assert elf_machine(files[program][1]) == MACHINES[architecture]
    assert files["bin"][0].linkname == "usr/bin"
    assert b":0:0:root:/root:/bin/bash" in files["etc/passwd"][1]
    assert not [path for path in files if path.startswith(("dev/", "usr/share/man/"))]


def test_python_image_runs_python_and_pip_by_their_short_names(registry: Registry, tmp_path: Path) -> None:
    reference = "docker.io/library/python:3.13-slim-trixie"
    plain = registry.crane("export", f"{registry.address}/{reference}", "-")
    subprocess.run(["tar", "-x", "-C", tmp_path, "--numeric-owner"], input=plain, check=True)
    path = ["env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin"]
    for command, text in (
        (["python", "-c", "import sys, ssl, venv; print(sys.version)"], "3.13."),
        (["python", "-m", "venv", "/tmp/venv"], ""),
        (["pip", "--version"], "python 3.13"),
        (["pip", "install", "--no-index", "nothing"], "No matching distribution"),
    ):
        done = subprocess.run(["chroot", tmp_path, *path, *command], capture_output=True, text=True, check=False)
        assert text in done.stdout + done.stderr
    config = registry.config(reference, "arm64")["config"]
    assert config["Cmd"] == ["python3"]
    assert "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" in config["Env"]


def test_busybox_is_a_shell_that_needs_nothing_beside_it(registry: Registry, tmp_path: Path) -> None:
    reference = "docker.io/library/busybox:1.37.0-musl"
    for architecture, machine in MACHINES.items():
        files = registry.export(reference, architecture)
        assert elf_machine(files["bin/busybox"][1]) == machine
        assert files["bin/sh"][0].linkname == "busybox"
    program = tmp_path / "before/busybox"
    program.parent.mkdir()
    program.write_bytes(registry.export(reference, NATIVE)["bin/busybox"][1])
    program.chmod(0o755)
    script = tmp_path / "before/zstd"
    script.write_text('#!/before/busybox sh\necho "${PATH#*:}" "$@"\n')
    script.chmod(0o755)
    command = ["env", "-i", "PATH=/before:/usr/sbin:/usr/bin", "chroot", tmp_path, "/before/zstd", "-18"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "/usr/sbin:/usr/bin -18\n"), done.stderr


@pytest.mark.parametrize("talos", ["v1.13.6", "v1.11.3"])
def test_imager_has_inputs_for_both_architectures(registry: Registry, talos: str) -> None:
    reference = f"{EXTENSIONS}/imager:{talos}"
    files = registry.export(reference, "arm64")
    assert files["usr/install/VERSION"][1] == f"{talos}\n".encode()
    assert files["tmp"][0].mode == 0o1777
    assert files["usr/install/arm64/vmlinuz"][1][0x38:0x3C] == b"ARM\x64"
    assert files["usr/install/amd64/vmlinuz"][1][0x202:0x206] == b"HdrS"
    for architecture, machine in PE_MACHINES.items():
        stub, sections = pe(files[f"usr/install/{architecture}/systemd-stub.efi"][1])
        boot, _ = pe(files[f"usr/install/{architecture}/systemd-boot.efi"][1])
        assert (stub, boot) == (machine, machine)
        assert ".sbat" in sections
        assert files[f"usr/install/{architecture}/initramfs.xz"][1].startswith(b"\x28\xb5\x2f\xfd")
    config = registry.config(reference, "amd64")["config"]
    assert config["Entrypoint"] == ["/usr/bin/imager"]
    assert config["Labels"]["alpha.talos.dev/version"] == talos


@pytest.mark.parametrize("architecture", MACHINES)
def test_base_initramfs_is_one_archive_with_init_and_rootfs(imager_root: Path, architecture: str) -> None:
    script = (
        "mkdir -p /tmp/x$1 && cd /tmp/x$1 && zstd -qdc /usr/install/$1/initramfs.xz > cpio && cpio -itvn < cpio && "
        "cpio -idu --quiet < cpio && unsquashfs -lln rootfs.sqsh && zstd -lv /usr/install/$1/initramfs.xz"
    )
    done = subprocess.run(
        ["chroot", imager_root, "sh", "-c", script, "sh", architecture], capture_output=True, text=True, check=True
    )
    names = re.findall(r"^(\S+) +\d+ 0 +0 +\d+ Jan +1 +2026 (\S+)$", done.stdout, re.MULTILINE)
    assert names == [("-rwxr-xr-x", "init"), ("-rw-r--r--", "rootfs.sqsh")]
    assert re.search(r"/usr/lib/modules/6\.12\.\S+/modules\.builtin\.modinfo$", done.stdout, re.MULTILINE)
    assert re.search(r"/usr/lib/modules/6\.12\.\S+/modules\.dep$", done.stdout, re.MULTILINE)
    assert re.search(r"/kernel/lib/lru_cache\.ko$", done.stdout, re.MULTILINE)
    assert not re.search(r"/(drbd|zfs)\.ko", done.stdout)
    assert "XXH64" in done.stdout
    init = (imager_root / "tmp" / f"x{architecture}" / "init").read_bytes()
    assert elf_machine(init) == MACHINES[architecture]
    assert b"enabling system extension %s %s" in init


@pytest.mark.parametrize("talos", ["v1.13.6", "v1.11.3"])
def test_installers_have_the_layers_of_the_real_ones(registry: Registry, talos: str) -> None:
    base = registry.config(f"{EXTENSIONS}/installer-base:{talos}", "arm64")
    whole = registry.config(f"{EXTENSIONS}/installer:{talos}", "arm64")
    assert len(base["rootfs"]["diff_ids"]) == 1
    assert whole["rootfs"]["diff_ids"][:1] == base["rootfs"]["diff_ids"]
    assert len(whole["rootfs"]["diff_ids"]) == 2
    for config in (base, whole):
        assert config["config"]["Entrypoint"] == ["/bin/installer"]
        assert f"VERSION={talos}" in config["config"]["Env"]
        assert "TARGETARCH=arm64" in config["config"]["Env"]
    files = registry.export(f"{EXTENSIONS}/installer:{talos}", "arm64")
    assert elf_machine(files["usr/bin/installer"][1]) == MACHINES["arm64"]
    assert files["usr/bin/imager"][0].linkname == "installer"
    assert files["usr/install/arm64/vmlinuz.efi"][0].mode == 0
    assert pe(files["usr/install/arm64/systemd-boot.efi"][1])[0] == PE_MACHINES["arm64"]


def test_matchbox_serves_what_cozystack_puts_into_it(registry: Registry, tmp_path: Path) -> None:
    files = registry.export("quay.io/poseidon/matchbox:v0.11.0", "amd64")
    assert registry.config("quay.io/poseidon/matchbox:v0.11.0", "amd64")["config"]["Entrypoint"] == ["/matchbox"]
    program = tmp_path / "matchbox"
    program.write_bytes(files["matchbox"][1])
    program.chmod(0o755)
    assert subprocess.run([program, "-version"], capture_output=True, text=True, check=True).stdout == "v0.11.0\n"
    refused = subprocess.run([program, "-data-path", "/none"], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert 'a valid -data-path is required: "/none" is no folder' in refused.stderr
    assert (
        elf_machine(registry.export("quay.io/poseidon/matchbox:v0.11.0", "arm64")["matchbox"][1]) == MACHINES["arm64"]
    )


SHAPES = {
    "spin:v0.25.1": {
        "usr/local/bin/containerd-shim-spin-v2",
        "etc/cri/conf.d/10-spin.part",
        "usr/local/share/spdx/spin.spdx.json",
    },
    "tailscale:1.98.10": {
        "usr/local/etc/containers/tailscale.yaml",
        "usr/local/lib/containers/tailscale/usr/local/bin/tailscale",
        "usr/local/lib/containers/tailscale/usr/local/bin/tailscaled",
        "usr/local/lib/containers/tailscale/usr/local/bin/containerboot",
        "usr/local/share/spdx/tailscale.spdx.json",
    },
    "drbd:9.3.2-v1.13.6": {
        "usr/lib/modules/KERNEL/extras/drbd.ko",
        "usr/lib/modules/KERNEL/modules.order",
        "usr/lib/modules/KERNEL/modules.builtin",
        "usr/lib/modules/KERNEL/modules.builtin.modinfo",
    },
    "zfs:2.3.3-v1.11.3": {
        "usr/lib/modules/KERNEL/extras/zfs.ko",
        "usr/lib/modules/KERNEL/extras/spl.ko",
        "usr/lib/modules/KERNEL/modules.order",
        "usr/lib/modules/KERNEL/modules.builtin",
        "usr/lib/modules/KERNEL/modules.builtin.modinfo",
        "usr/local/etc/containers/zfs-service.yaml",
        "usr/local/lib/containers/zfs-service/zfs-service",
        "usr/local/sbin/zfs",
        "usr/local/sbin/zpool",
    },
    "intel-ice-firmware:20260622": {"usr/lib/firmware/intel/ice/ddp/ice.pkg"},
    "i915:20260622-v1.13.6": set[str](),
    "amdgpu:20250917-v1.11.3": set[str](),
}


@pytest.mark.parametrize("tag", SHAPES)
def test_arm64_extension_has_the_real_layout(registry: Registry, tag: str) -> None:
    files = registry.export(f"{EXTENSIONS}/{tag}", "arm64")
    assert {path.partition("/")[0] for path in files} == {"manifest.yaml", "rootfs"}
    found = {
        path.removeprefix("rootfs/")
        for path, (member, _) in files.items()
        if member.isreg() and path != "manifest.yaml"
    }
    assert {re.sub(r"/6\.12\.[^/]+-arm64/", "/KERNEL/", path) for path in found} == SHAPES[tag]
    manifest = yaml.safe_load(files["manifest.yaml"][1])
    name, _, version = tag.partition(":")
    assert manifest["version"] == "v1alpha1"
    assert (manifest["metadata"]["name"], manifest["metadata"]["version"]) == (name, version)
    assert re.match(r"\[(core|extra|contrib)] STAND-IN: ", manifest["metadata"]["description"])
    assert re.match(r">= v1\.", manifest["metadata"]["compatibility"]["talos"]["version"])


@pytest.mark.parametrize("architecture", MACHINES)
@pytest.mark.parametrize(
    "reference",
    [n for n in lab.images() if n.startswith(EXTENSIONS) and not re.search("broken|install|imager|sbc-|overlays", n)],
)
def test_extension_has_programs_of_its_architecture_only(registry: Registry, reference: str, architecture: str) -> None:
    machines = {elf_machine(content) for _, content in registry.export(reference, architecture).values()} - {None}
    assert machines <= {MACHINES[architecture]}


@pytest.mark.parametrize("architecture", MACHINES)
def test_kernel_module_is_of_the_kernel_in_the_imager(registry: Registry, imager_root: Path, architecture: str) -> None:
    files = registry.export(f"{EXTENSIONS}/drbd:9.3.2-v1.13.6", architecture)
    (path,) = (path for path in files if path.endswith("/drbd.ko"))
    release = path.split("/")[4]
    content = files[path][1]
    assert elf_machine(content) == MACHINES[architecture]
    assert f"vermagic={release} SMP".encode() in content
    kernel = (imager_root / f"usr/install/{architecture}/vmlinuz").read_bytes()
    assert architecture == "arm64" or release.encode() in kernel


def test_x86_only_extensions_are_as_the_real_ones(registry: Registry) -> None:
    for architecture in MACHINES:
        amd = registry.export(f"{EXTENSIONS}/amd-ucode:20260622", architecture)
        assert "rootfs/usr/lib/firmware/amd-ucode/microcode_amd.bin" in amd
        intel = registry.export(f"{EXTENSIONS}/intel-ucode:20260512", architecture)
        assert len(intel["rootfs/usr/lib/firmware/intel-ucode/06-17-06"][1]) > 4096
    modules = registry.export(f"{EXTENSIONS}/i915:20260622-v1.13.6", "amd64")
    assert [path for path in modules if path.endswith("kernel/drivers/gpu/drm/i915/i915.ko")]


def test_tailscale_has_programs_of_its_version_for_each_machine(registry: Registry, tmp_path: Path) -> None:
    home = "rootfs/usr/local/lib/containers/tailscale/usr/local/bin"
    program = tmp_path / "tailscale"
    program.write_bytes(registry.export(f"{EXTENSIONS}/tailscale:1.98.10", NATIVE)[f"{home}/tailscale"][1])
    program.chmod(0o755)
    done = subprocess.run([program, "version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("STAND-IN: this is not tailscale 1.98.10 but ")
    arm64 = registry.export(f"{EXTENSIONS}/tailscale:1.98.10", "arm64")
    for name in ("tailscale", "tailscaled", "containerboot"):
        assert elf_machine(arm64[f"{home}/{name}"][1]) == MACHINES["arm64"]
        assert f"STAND-IN: this is not {name} 1.98.10 but ".encode() in arm64[f"{home}/{name}"][1]
    service = yaml.safe_load(arm64["rootfs/usr/local/etc/containers/tailscale.yaml"][1])
    assert {"configuration": True} in service["depends"]
    assert service["container"]["entrypoint"] == "/usr/local/bin/containerboot"


@pytest.mark.parametrize(
    ("talos", "tag", "boards"),
    [("v1.13.6", "v0.2.0", ["rpi_generic", "rpi_5"]), ("v1.11.3", "v0.1.5", ["rpi_generic"])],
)
def test_overlays_have_the_real_layout_and_are_listed(
    registry: Registry, talos: str, tag: str, boards: list[str]
) -> None:
    reference = f"{EXTENSIONS}/sbc-raspberrypi:{tag}"
    for architecture, machine in MACHINES.items():
        files = registry.export(reference, architecture)
        assert {path.partition("/")[0] for path in files} == {"artifacts", "installers", "profiles"}
        for board in boards:
            program, content = files[f"installers/{board}"]
            assert (elf_machine(content), program.mode & 0o111) == (machine, 0o111)
            assert yaml.safe_load(files[f"profiles/{board}.yaml"][1])["output"]["imageOptions"]["bootloader"] == "grub"
        # What a board starts with is the same wherever the imager runs.
        home = "artifacts/arm64"
        assert len(files[f"{home}/u-boot/rpi_generic/u-boot.bin"][1]) > 400_000
        assert {f"{home}/firmware/boot/{name}" for name in ("start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb")} <= set(
            files
        )
        assert ("artifacts/rpi_5/bcm2712-rpi-5-b.dtb" in files) is ("rpi_5" in boards)
    listed = registry.export(f"{EXTENSIONS}/overlays:{talos}", "amd64")
    assert set(listed) == {"overlays.yaml"}
    digest = registry.crane("digest", f"{registry.address}/{reference}").decode().strip()
    assert yaml.safe_load(listed["overlays.yaml"][1]) == {
        "overlays": [{"name": board, "image": reference, "digest": digest} for board in boards]
    }


@pytest.mark.parametrize("talos", ["v1.13.6", "v1.11.3"])
def test_catalog_names_images_that_are_there(registry: Registry, talos: str) -> None:
    files = registry.export(f"{EXTENSIONS}/extensions:{talos}", "amd64")
    assert set(files) == {"image-digests", "descriptions.yaml"}
    lines = files["image-digests"][1].decode().splitlines()
    assert all(re.fullmatch(r"ghcr\.io/siderolabs/[a-z0-9-]+:[\w.-]+@sha256:[0-9a-f]{64}", line) for line in lines)
    names = {line.partition(":")[0].rpartition("/")[2] for line in lines}
    assert {"drbd", "zfs", "spin", "tailscale", "gvisor", "bnx2-bnx2x", "broken-foreign-elf"} <= names
    described = yaml.safe_load(files["descriptions.yaml"][1])
    assert list(described) == lines
    for line in lines:
        assert set(described[line]) == {"author", "description"}
        assert "STAND-IN" in described[line]["description"]
        tag, _, digest = line.partition("@")
        assert registry.crane("digest", f"{registry.address}/{tag}").decode().strip() == digest


@pytest.mark.parametrize(
    ("talos", "folder", "drbd"),
    [
        ("v1.13.6", "packages/core/talos", "drbd:9.3.2-v1.13.6"),
        ("v1.11.3", "packages/core/installer", "drbd:9.2.14-v1.11.3"),
    ],
)
def test_checkout_has_upstreams_profiles_with_digests_of_the_lab(
    registry: Registry, talos: str, folder: str, drbd: str
) -> None:
    images = lab.checkout_path(talos) / folder / "images"
    profiles = {path.stem: yaml.safe_load(path.read_text()) for path in (images / "talos/profiles").iterdir()}
    assert {
        name: (one["platform"], one["output"]["kind"], one["output"]["outFormat"]) for name, one in profiles.items()
    } == {
        "initramfs": ("metal", "initramfs", "raw"),
        "installer": ("metal", "installer", "raw"),
        "iso": ("metal", "iso", "raw"),
        "kernel": ("metal", "kernel", "raw"),
        "metal": ("metal", "image", ".xz"),
        "nocloud": ("nocloud", "image", ".xz"),
    }
    assert profiles["metal"]["output"]["imageOptions"] == {"diskSize": 1306525696, "diskFormat": "raw"}
    for one in profiles.values():
        assert (one["arch"], one["version"]) == ("amd64", talos)
        assert one["input"]["baseInstaller"] == {"imageRef": f"ghcr.io/siderolabs/installer:{talos}"}
    references = [one["imageRef"] for one in profiles["initramfs"]["input"]["systemExtensions"]]
    assert [re.split("[/:]", reference)[2] for reference in references] == [
        *(
            "amd-ucode",
            "amdgpu",
            "bnx2-bnx2x",
            "intel-ice-firmware",
            "i915",
            "intel-ucode",
            "qlogic-firmware",
            "drbd",
            "zfs",
        )
    ]
    assert references[7].startswith(f"ghcr.io/siderolabs/{drbd}@sha256:")
    for reference in references:
        repository, _, digest = reference.partition("@")
        registry.crane("manifest", f"{registry.address}/{repository.rpartition(':')[0]}@{digest}")
    matchbox = {"v1.13.6": "v0.11.0", "v1.11.3": "v0.10.0"}[talos]
    reference = f"quay.io/poseidon/matchbox:{matchbox}"
    digest = registry.crane("digest", f"{registry.address}/{reference}").decode().strip()
    # Only the newer release names it by digest.
    wanted = f"FROM {reference}@{digest}" if talos == "v1.13.6" else f"FROM {reference}"
    dockerfile = (images / "matchbox/Dockerfile").read_text().splitlines()
    assert dockerfile[0] == wanted
    assert dockerfile[-1] == f"COPY {folder}/images/matchbox/profiles /var/lib/matchbox/profiles"
    boot = json.loads((images / "matchbox/profiles/default.json").read_text())["boot"]
    assert boot["initrd"] == ["/assets/initramfs.xz"]
    assert boot["args"][-1] == "talos.platform=metal"
    assert json.loads((images / "matchbox/groups/default.json").read_text())["profile"] == "default"


@pytest.mark.parametrize(
    ("talos", "tag", "date"), [("v1.13.6", "v1.6.2", 1787125936), ("v1.11.3", "v0.38.2", 1764618566)]
)
def test_checkout_is_a_git_repository_at_the_release(
    registry: Registry, talos: str, tag: str, date: int, tmp_path: Path
) -> None:
    checkout = lab.checkout_path(talos)
    clone = ["git", "-c", "safe.directory=*", "clone", "--quiet", "--branch", tag]
    subprocess.run([*clone, f"file://{checkout}", tmp_path / "clone"], check=True)
    log = ["git", "-C", tmp_path / "clone", "log", "--format=%s %ct"]
    assert subprocess.run(log, capture_output=True, text=True, check=True).stdout == (
        f"STAND-IN for CozyStack {tag} {date}\n"
    )
    assert subprocess.run(["diff", "-r", "-x", ".git", checkout, tmp_path / "clone"], check=False).returncode == 0


def test_default_checkout_is_of_the_newest_release(registry: Registry) -> None:
    assert (lab.checkout_path() / "packages/core/talos/images/talos/profiles/kernel.yaml").is_file()


class TestBroken:
    def test_foreign_elf(self, registry: Registry) -> None:
        files = registry.export(f"{EXTENSIONS}/broken-foreign-elf:1.0.0", "arm64")
        assert elf_machine(files["rootfs/usr/local/bin/broken"][1]) == MACHINES["amd64"]

    def test_single_amd64(self, registry: Registry) -> None:
        manifest = registry.manifest(f"{EXTENSIONS}/broken-single-amd64:1.0.0")
        assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
        assert "manifests" not in manifest

    def test_no_manifest(self, registry: Registry) -> None:
        files = registry.export(f"{EXTENSIONS}/broken-no-manifest:1.0.0", "arm64")
        assert {path.partition("/")[0] for path in files} == {"rootfs"}

    def test_path_outside(self, registry: Registry) -> None:
        files = registry.export(f"{EXTENSIONS}/broken-path-outside:1.0.0", "arm64")
        assert "rootfs/opt/broken/bin/broken" in files

    def test_world_writable(self, registry: Registry) -> None:
        files = registry.export(f"{EXTENSIONS}/broken-world-writable:1.0.0", "arm64")
        assert files["rootfs/usr/local/etc/broken.conf"][0].mode == 0o666

    def test_twice(self, registry: Registry) -> None:
        for letter in "ab":
            files = registry.export(f"{EXTENSIONS}/broken-twice-{letter}:1.0.0", "arm64")
            assert yaml.safe_load(files["manifest.yaml"][1])["metadata"]["name"] == "broken-twice"

    def test_too_new(self, registry: Registry) -> None:
        files = registry.export(f"{EXTENSIONS}/broken-too-new:1.0.0", "arm64")
        assert (
            yaml.safe_load(files["manifest.yaml"][1])["metadata"]["compatibility"]["talos"]["version"] == ">= v99.0.0"
        )

    def test_foreign_module(self, registry: Registry) -> None:
        for architecture, machine in MACHINES.items():
            files = registry.export(f"{EXTENSIONS}/broken-foreign-module:1.0.0", architecture)
            (path,) = (path for path in files if path.endswith(".ko"))
            release = path.split("/")[4]
            assert path == f"rootfs/usr/lib/modules/{release}/extras/foreign.ko"
            content = files[path][1]
            assert elf_machine(content) == machine
            assert f"vermagic={release}".encode() not in content
            assert b"vermagic=5.0.0-other-" in content
            drbd = registry.export(f"{EXTENSIONS}/drbd:9.3.2-v1.13.6", architecture)
            assert f"rootfs/usr/lib/modules/{release}/extras/drbd.ko" in drbd

    @pytest.mark.parametrize(
        ("name", "depends"),
        [
            ("broken-waits-for-configuration", {"configuration": True}),
            ("broken-waits-for-file", {"path": "/var/etc/broken/config.yaml"}),
        ],
    )
    def test_waits(self, registry: Registry, name: str, depends: dict[str, object]) -> None:
        files = registry.export(f"{EXTENSIONS}/{name}:1.0.0", "arm64")
        service = yaml.safe_load(files[f"rootfs/usr/local/etc/containers/{name}.yaml"][1])
        assert (service["name"], service["depends"]) == (name, [depends])
        program = f"rootfs/usr/local/lib/containers/{name}{service['container']['entrypoint']}"
        assert elf_machine(files[program][1]) == MACHINES["arm64"]

    def test_truncated_layer(self, registry: Registry) -> None:
        reference = f"{registry.address}/{EXTENSIONS}/broken-truncated-layer"
        manifest = json.loads(registry.crane("manifest", "--platform", "linux/arm64", f"{reference}:1.0.0"))
        (layer,) = manifest["layers"]
        packed = registry.crane("blob", f"{reference}@{layer['digest']}")
        assert len(packed) == layer["size"]
        with pytest.raises(EOFError):
            gzip.decompress(packed)


def test_image_comes_out_the_same_in_another_place(registry: Registry, tmp_path: Path) -> None:
    reference = f"{EXTENSIONS}/spin:v0.25.1"
    elsewhere = Builder(tmp_path / "lab", lab.builder().recipes, lab.builder().tools)
    digest = elsewhere.build(elsewhere.with_layers([reference]), NoProgress())[reference].value["image"]["digest"]
    assert registry.crane("digest", f"{registry.address}/{reference}").decode().strip() == digest


def test_nothing_to_do_takes_less_than_a_second(registry: Registry) -> None:
    command = [sys.executable, "-m", "embedded.lab", "build"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=EMBEDDED.parent, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time, so that whatever else the machine does is not held against it.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
    assert done.stderr == ""
