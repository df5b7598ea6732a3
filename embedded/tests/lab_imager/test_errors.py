"""Bad input fails in words, what the real imager accepts silently is accepted, and what the lab lacks is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from embedded.tests.lab_imager.inputs import Inputs
    from embedded.tests.lab_imager.runners import HostRunner, Result, RootRunner

VERSIONS = ("v1.13.6", "v1.11.3")
ARGUMENTS = "customization: {extraKernelArgs: [talos.foo=bar, console=ttyS9, -pti]}"
META = "customization: {metaContents: [{key: 0xa, value: hello-meta}]}"


def profile(talos: str, kind: str, *, given: str = "", more: str = "", initramfs: str = "", **fields: str) -> str:
    """Write a profile: `given` stands below `input`, `more` at the top, `fields` replace what usually stands there."""
    values = {"arch": "arm64", "platform": "metal", "version": talos, "outFormat": "raw"} | fields
    path = initramfs or "/usr/install/arm64/initramfs.xz"
    return f"""\
arch: {values["arch"]}
platform: {values["platform"]}
secureboot: false
version: {values["version"]}
{more}
input:
  kernel: {{path: /usr/install/arm64/vmlinuz}}
  initramfs: {{path: {path}}}
  {given}
output: {{kind: {kind}, outFormat: {values["outFormat"]}}}
"""


def extension(name: str) -> str:
    return f"systemExtensions: [{{tarballPath: LAB/tar/{name}.tar}}]"


def layout(name: str) -> str:
    return f"systemExtensions: [{{ociPath: LAB/{name}}}]"


def last_line(result: Result) -> str:
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("given", "error"),
    [
        ('systemExtensions: [{imageRef: "NOT A REF"}]', "error pulling image NOT A REF: parsing reference "),
        ("systemExtensions: [{imageRef: ghcr.io/siderolabs/nope:v1}]", "error pulling image ghcr.io/siderolabs/nope"),
        ('systemExtensions: [{imageRef: ""}]', "error pulling image "),
        (extension("nope"), "open LAB/tar/nope.tar: no such file or directory"),
        (layout("oci/nope"), "error opening OCI layout: stat LAB/oci/nope/index.json: no such file or directory"),
        (layout("oci-empty"), "error opening OCI layout: stat LAB/oci-empty/index.json: no such file or directory"),
        (layout("oci/v-amd64"), "no OCI image found for arm64"),
        (layout("oci/v-noplatform"), "no OCI image found for arm64"),
        (layout("oci/v-nested"), "no OCI image found for arm64"),
        (extension("e-constraint"),
         'error validating extension "e-constraint": version constraint >= v99.0.0 can\'t be satisfied with Talos'),
        (extension("e-badconstraint"), 'error validating extension "e-badconstraint": error parsing Talos version '),
        (extension("e-manver"),
         'error listing extensions: error loading extension 0: unsupported manifest version: "v1beta1"'),
        (extension("e-nomanifest"), "error listing extensions: error loading extension 0: extension manifest is miss"),
        (extension("e-norootfs"), "error listing extensions: error loading extension 0: extension rootfs is missing"),
        (extension("e-extra"), 'error listing extensions: error loading extension 0: unexpected file "README"'),
        (extension("e-gz"), "error reading tar header: unexpected EOF"),
        (extension("e-empty"), "error listing extensions: error loading extension 0: extension manifest is missing"),
    ],
)  # fmt: skip
def test_a_bad_extension_is_named(host: HostRunner, version: str, given: str, error: str) -> None:
    result = host.run("bad", profile(version, "initramfs", given=given), version)
    assert last_line(result).startswith(f"Error: {error}")
    assert result.files == {}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("kind", "fields", "error"),
    [
        ("cmdline", {"arch": "riscv64"}, 'profile is invalid: invalid arch "riscv64"'),
        ("cmdline", {"platform": "bogus"}, 'unknown platform: "bogus"'),
        ("cmdline", {"platform": '""'}, "profile is invalid: platform is required"),
        ("kernel", {"more": ARGUMENTS}, "profile is invalid: customization of kernel args is not supported for kernel"),
        (
            "initramfs",
            {"more": ARGUMENTS},
            "profile is invalid: customization of kernel args is not supported for init",
        ),
        ("kernel", {"more": META}, "profile is invalid: customization of meta partition is not supported for kernel"),
        ("initramfs", {"more": META}, "profile is invalid: customization of meta partition is not supported for init"),
        ("installer", {"more": META}, "profile is invalid: customization of meta partition is not supported for inst"),
        (
            "initramfs",
            {"initramfs": "/nope"},
            "error copying /nope -> LAB/out/bad/initramfs-metal-arm64.xz: open /nope:",
        ),
        ("cmdline", {"outFormat": ".zip"}, "the profile can't be read: line 10: '.zip' where unknown or raw or "),
        ("bogus", {}, "the profile can't be read: line 10: 'bogus' where unknown or iso or image or "),
    ],
)
def test_a_profile_that_does_not_fit_is_named(
    host: HostRunner, version: str, kind: str, fields: dict[str, str], error: str
) -> None:
    result = host.run("bad", profile(version, kind, **fields), version)
    assert last_line(result).startswith(f"Error: {error}")
    assert result.files == {}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "not valid YAML: the document is empty"),
        ("arch: arm64\n  platform: [metal\n", "not valid YAML in line 2: mapping values are not allowed here"),
        ("[" * 5000, "not valid YAML"),
        ("arch: \x07\n", "not valid YAML"),
        ("arch: [arm64]\n", "line 1: a sequence where a text is wanted"),
        ("- arch\n", "line 1: a sequence where a mapping is wanted"),
        ("secureboot: maybe\n", "line 1: 'maybe' where true or false is wanted"),
        ("input:\n  systemExtensions: none\n", "line 2: 'none' where a list is wanted"),
        ("customization: {metaContents: [{key: ten}]}\n", "line 1: 'ten' where a whole number is wanted"),
        ("overlay: {options: [x]}\n", "line 1: a sequence where a mapping is wanted"),
    ],
)
def test_what_is_no_profile_is_refused_in_words(host: HostRunner, version: str, text: str, error: str) -> None:
    assert last_line(host.run("bad", text, version)).startswith(f"Error: the profile can't be read: {error}")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "fields",
    [{"more": "bogusField: 1"}, {"version": "v1.9.0"}, {"version": "vbogus"}, {"more": META}, {"more": ARGUMENTS}],
)
def test_what_the_real_imager_accepts_is_accepted(host: HostRunner, version: str, fields: dict[str, str]) -> None:
    result = host.run("fine", profile(version, "cmdline", **fields), version)
    assert (result.exit_code, result.stdout) == (0, ""), result.stderr
    assert list(result.files) == ["cmdline-metal-arm64"]
    text = (result.out / "cmdline-metal-arm64").read_text()
    assert ("INSTALLER_META_BASE64=" in text) == (fields.get("more") == META)
    assert ("talos.foo=bar" in text) == (fields.get("more") == ARGUMENTS)


@pytest.mark.lab
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["e-path", "e-ww", "e-unkfield", "duplicate", "lie"])
def test_extensions_that_the_real_imager_packs_without_a_word(
    root: RootRunner, inputs: Inputs, version: str, name: str
) -> None:
    given = {
        "duplicate": "systemExtensions: [{tarballPath: LAB/tar/e-ok.tar}, {tarballPath: LAB/tar/e-ok.tar}]",
        "lie": layout("oci/v-lie"),
    }.get(name, extension(name))
    result = root.run(name, profile(version, "initramfs", given=given), version, environment={"TZ": "UTC"})
    assert (result.exit_code, result.stdout) == (0, ""), result.stderr
    assert list(result.files) == ["initramfs-metal-arm64.xz"]


@pytest.mark.lab
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("kind", "fields", "error"),
    [
        ("initramfs", {"given": extension("e-kv")}, "copying kernel modules from "),
        ("uki", {"initramfs": "/nope"}, "error assembling UKI: stat /nope: no such file or directory"),
        ("installer", {"given": "baseInstaller: {imageRef: a/b:c, tarballPath: LAB/tar/spin.tar}"},
         "pulling tarball container image is not supported"),
        ("installer", {"given": "baseInstaller: {ociPath: LAB/oci/installer-base-v1.13.6}"},
         "failed to parse image reference: could not parse reference: "),
        ("installer", {}, "error pulling image ghcr.io/siderolabs/installer-base:"),
    ],
)  # fmt: skip
def test_bad_input_that_needs_tools_to_be_met_is_named(
    root: RootRunner, inputs: Inputs, version: str, kind: str, fields: dict[str, str], error: str
) -> None:
    result = root.run("bad", profile(version, kind, **fields), version, environment={"TZ": "UTC"})
    assert last_line(result).startswith(f"Error: {error}")
    for path in result.out.glob("*"):
        path.unlink()


@pytest.mark.lab
def test_a_disk_image_without_a_size_is_named(root: RootRunner, inputs: Inputs) -> None:
    """v1.11.3 asks for loop devices before that."""
    result = root.run("bad", profile("v1.13.6", "image", more=META), "v1.13.6", environment={"TZ": "UTC"})
    assert last_line(result).startswith("Error: failed to install: failed to create partitions: failed to allocate")
    for path in result.out.glob("*"):
        path.unlink()


@pytest.mark.lab
@pytest.mark.parametrize(("version", "uid"), [("v1.11.3", 65534)])
def test_a_disk_image_that_needs_loop_devices_says_so(root: RootRunner, inputs: Inputs, version: str, uid: int) -> None:
    text = profile(version, "image").replace(
        "outFormat: raw", "imageOptions: {diskSize: 1306525696, diskFormat: raw}, outFormat: raw"
    )
    result = root.run("loop", text, version, environment={"TZ": "UTC"}, uid=uid)
    assert last_line(result).startswith("Error: failed to attach loopback device: could not open /dev/loop-control")
    for path in result.out.glob("*"):
        path.unlink()


@pytest.mark.lab
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("layers", ["v-inst2", "v-inst3"])
def test_an_installer_base_of_any_number_of_layers_is_taken(
    root: RootRunner, inputs: Inputs, version: str, layers: str
) -> None:
    given = f"baseInstaller: {{imageRef: ghcr.io/siderolabs/installer-base:{version}, ociPath: LAB/oci/{layers}}}"
    result = root.run("base", profile(version, "installer", given=given), version, environment={"TZ": "UTC"})
    assert result.exit_code == 0, result.stderr
    assert list(result.files) == ["installer-arm64.tar"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (
            "input: {imageCache: {ociPath: /x}}",
            "the lab's imager knows no image cache: leave `input.imageCache` out of the profile",
        ),
        (
            "secureboot: true\ninput: {secureboot: {includeWellKnownCerts: true}}",
            "the lab's imager has none of Microsoft's certificates: leave `includeWellKnownCerts` out",
        ),
        ("version: v1.9.0", "the lab's imager makes no iso of Talos v1.9.0: v1.10 or newer"),
        ("platform: alibabacloud", 'unknown platform: "alibabacloud"'),
        ("baseProfileName: rpi_generic", "unknown base profile: rpi_generic"),
        (
            "secureboot: true\nversion: v1.4.0",
            'profile is invalid: secureboot is not supported for Talos version "v1.4.0"',
        ),
        (
            "secureboot: true",
            "failed to get PCR signer: open /secureboot/pcr-signing-key.pem: no such file or directory",
        ),
        (
            "secureboot: true\ninput: {secureboot: {pcrSigner: {awsKMSKeyID: x}}}",
            "failed to get PCR signer: the lab's imager signs with keys in files only, not with those of a cloud",
        ),
    ],
)
def test_what_the_lab_lacks_is_refused_by_name(host: HostRunner, change: str, error: str) -> None:
    profile = f"arch: arm64\nplatform: metal\n{change}\noutput:\n  kind: iso\n  outFormat: raw\n"
    result = host.run("refused", profile, "v1.13.6")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"Error: {error}"
