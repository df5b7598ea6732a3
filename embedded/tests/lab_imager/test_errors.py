"""The recorded bad (and silently accepted) inputs: same exit code, same words, same files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from embedded.tests.lab_imager.records import golden

if TYPE_CHECKING:
    from embedded.tests.lab_imager.inputs import Inputs
    from embedded.tests.lab_imager.runners import HostRunner, Result, RootRunner

VERSIONS = ("v1.13.6", "v1.11.3")
EPOCH = "1700000000"

# Cases that the lab's imager answers otherwise, and why.
NOT_COVERED = {
    r"wa-.*-reg-.*": "they pull from a registry; the lab's imager has no network",
    r"1\.11-metal|err-1\.11-nokindimgopts": "the lab asks for loop devices as v1.11.3 does, and then uses none",
}
# Cases whose text ends in what the network said; up to there it is the same.
CUT_AT_NETWORK = re.compile(r"err-.*-(unknown-ref|installer-net)")
# Cases that end before a tool of Debian is needed run in this process too.
NEEDS_TOOLS = re.compile(
    r"err-.*-(e-path|e-ww|e-unkfield|e-kv|duplicate|installer-.*|missing-initramfs-uki|nokindimgopts|"
    r"(args|meta)-(uki|installer|iso))|.*metal|custom-.*|wa-.*"
)
# Under these outputs the size of the file follows from the contract alone.
EXACT_SIZES = re.compile(r"cmdline-.*")


def cases(version: str) -> list[dict[str, Any]]:
    """Returns the recorded cases that the contract covers."""
    recorded: list[dict[str, Any]] = golden(version, "errors")
    return [case for case in recorded if not any(re.fullmatch(name, case["case"]) for name in NOT_COVERED)]


def parameters(*, in_process: bool) -> list[Any]:
    """Returns version and case, one by one; in this process only where no tool is needed."""
    found: list[Any] = []
    for version in VERSIONS:
        for case in cases(version):
            # META is refused for an installer and console arguments for an initramfs before any tool starts.
            needs_tools = NEEDS_TOOLS.fullmatch(case["case"]) and "profile is invalid" not in case["stderr"]
            if not (in_process and needs_tools):
                found.append(pytest.param(version, case, id=case["case"]))
    return found


def cut(text: str) -> str:
    """Cuts the lines' ends that only a network could have said."""
    return re.sub(r'(Get "https://[^"]+": ).*', r"\1", text)


def check(case: dict[str, Any], result: Result) -> None:
    """Compares a run with its record."""
    said, expected = result.stderr, case["stderr"]
    if CUT_AT_NETWORK.fullmatch(case["case"]):
        said, expected = cut(said), cut(expected)
    if "kind: iso" in case["profile"]:
        # The FAT image is as large as what goes into it.
        said, expected = (
            re.sub(r"raw disk of size \d+ MB", "raw disk of size N MB", text) for text in (said, expected)
        )
    assert said.splitlines() == expected.splitlines()
    assert result.exit_code == case["exit_code"]
    assert result.stdout == case["stdout"]
    assert list(result.files) == list(case["files"])
    for name, size in case["files"].items():
        if EXACT_SIZES.fullmatch(name) or name.endswith((".raw", ".unknown")):
            assert result.files[name] == size


def test_every_exclusion_names_a_recorded_case() -> None:
    names = [case["case"] for version in VERSIONS for case in golden(version, "errors")]
    for pattern in NOT_COVERED:
        assert any(re.fullmatch(pattern, name) for name in names), pattern


@pytest.mark.parametrize(("version", "case"), parameters(in_process=True))
def test_recorded_case_in_this_process(host: HostRunner, version: str, case: dict[str, Any]) -> None:
    check(case, host.run(case["case"], case["profile"], version))


@pytest.mark.lab
@pytest.mark.parametrize(("version", "case"), parameters(in_process=False))
def test_recorded_case_in_the_debian_root(root: RootRunner, inputs: Inputs, version: str, case: dict[str, Any]) -> None:
    # The recorded runs had SOURCE_DATE_EPOCH where their words show it.
    environment = {"TZ": "UTC"} | ({"SOURCE_DATE_EPOCH": EPOCH} if "changing timestamps" in case["stderr"] else {})
    result = root.run(case["case"], case["profile"], version, environment=environment)
    try:
        check(case, result)
    finally:
        for path in result.out.glob("*"):
            path.unlink()


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
        ("platform: aws", 'the lab\'s imager knows the platforms metal and nocloud, not "aws"'),
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
