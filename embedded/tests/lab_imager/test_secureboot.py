"""Secure Boot: what is signed, with what, and what an ISO offers to enroll."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from embedded.lab.imager.secureboot import pcr_policy
from embedded.tests.lab_imager.builds import DISK, build, run_profile
from embedded.tests.lab_imager.readers import read_pe

if TYPE_CHECKING:
    from pathlib import Path

    from embedded.tests.lab_imager.inputs import Inputs
    from embedded.tests.lab_imager.runners import RootRunner

pytestmark = pytest.mark.lab

SECTIONS = [
    *(".osrel", ".cmdline", ".uname", ".splash", ".pcrpkey", ".linux", ".initrd", ".profile", ".pcrsig"),
]


@pytest.fixture(scope="module", autouse=True)
def keys(root: RootRunner, inputs: Inputs) -> Path:
    """Keys as the imager wants them: PKCS#1, and one that is not."""
    folder = root.lab / "keys"
    folder.mkdir()
    for name in ("uki-signing", "pcr-signing"):
        root.tool("openssl", "genrsa", "-traditional", "-out", f"/LAB/keys/{name}-key.pem", "2048")
    root.tool("openssl", "genrsa", "-out", "/LAB/keys/pkcs8.pem", "2048")
    request = ["openssl", "req", "-new", "-x509", "-subj", "/CN=test/", "-days", "36500"]
    root.tool(*request, "-key", "/LAB/keys/uki-signing-key.pem", "-out", "/LAB/keys/uki-signing-cert.pem")
    for path in folder.iterdir():
        path.chmod(0o644)
    return folder


def signers(pcr: str = "pcr-signing-key.pem", more: str = "") -> str:
    text = "  secureboot:\n    secureBootSigner:\n      keyPath: LAB/keys/uki-signing-key.pem\n"
    text += f"      certPath: LAB/keys/uki-signing-cert.pem\n    pcrSigner: {{keyPath: LAB/keys/{pcr}}}\n"
    return text + more


def signed(root: RootRunner, case: str, kind: str, more: str = "", uid: int = 65534) -> Path:
    return build(root, case, kind=kind, inputs=signers(more=more), more="secureboot: true\n", uid=uid)


def verify(root: RootRunner, file: str) -> None:
    told = root.tool("sbverify", "--cert", "/LAB/keys/uki-signing-cert.pem", file)
    assert "Signature verification OK" in told


def test_uki_is_signed_and_signs_what_it_makes_of_the_tpm(root: RootRunner, keys: Path, tmp_path: Path) -> None:
    uki = signed(root, "sb-uki", "uki")
    assert uki.name == "metal-arm64-secureboot-uki.efi"
    verify(root, f"/LAB/{uki.relative_to(root.lab)}")
    sections = read_pe(uki).sections
    added = [name for name, _ in sections if name in {*SECTIONS, ".sbat"}]
    assert [name for name in added if name != ".sbat"] == SECTIONS
    contents = dict(sections)
    assert b" lockdown=confidentiality" in contents[".cmdline"]
    public = subprocess.run(
        ["openssl", "rsa", "-in", keys / "pcr-signing-key.pem", "-pubout"], capture_output=True, check=True
    ).stdout
    assert contents[".pcrpkey"] == public
    files: dict[str, Path] = {}
    for name, data in sections:
        if name in {*SECTIONS, ".sbat"} - {".pcrsig"}:
            files[name] = tmp_path / name
            files[name].write_bytes(data.rstrip(b"\0") if name == ".sbat" else data)  # padded
    (tmp_path / "public.pem").write_bytes(public)
    signature = json.loads(contents[".pcrsig"])
    assert list(signature) == ["sha256", "sha384", "sha512"]
    for bank, (entry,) in signature.items():
        assert (entry["pcrs"], len(entry["pkfp"])) == ([11], 64)
        policy = pcr_policy(bank, files)
        assert entry["pol"] == policy.hex()
        (tmp_path / "sig").write_bytes(base64.b64decode(entry["sig"]))
        command = ["openssl", "dgst", f"-{bank}", "-verify", tmp_path / "public.pem", "-signature", tmp_path / "sig"]
        assert subprocess.run(command, input=policy, capture_output=True, check=False).stdout == b"Verified OK\n"


def test_each_profile_of_a_uki_has_its_own_signature(root: RootRunner) -> None:
    disk = signed(root, "sb-disk", DISK % "")
    assert disk.name == "metal-arm64-secureboot.raw"
    image = f"/LAB/{disk.relative_to(root.lab)}@@1048576"
    for name, path in {"uki": "EFI/Linux/Talos-v1.13.6.efi", "loader": "EFI/boot/BOOTAA64.efi"}.items():
        root.tool("mcopy", "-n", "-i", image, f"::/{path}", f"/LAB/out/sb-{name}.efi")
        verify(root, f"/LAB/out/sb-{name}.efi")
    sections = read_pe(root.lab / "out/sb-uki.efi").sections
    names = [name for name, _ in sections]
    assert names[names.index(".initrd") + 1 :] == [".profile", ".pcrsig", ".profile", ".cmdline", ".pcrsig"]
    policies = [json.loads(data)["sha256"][0]["pol"] for name, data in sections if name == ".pcrsig"]
    assert policies[0] != policies[1]


def test_iso_offers_its_keys_to_enroll(root: RootRunner) -> None:
    iso = signed(root, "sb-iso", "iso", uid=0)
    assert iso.name == "metal-arm64-secureboot.iso"
    inside = f"/LAB/{iso.relative_to(root.lab)}"
    files = set(root.tool("xorriso", "-indev", inside, "-find", "/").splitlines())
    assert {f"'/loader/keys/auto/{name}.auth'" for name in ("PK", "KEK", "db")} <= files
    root.tool("xorriso", "-osirrox", "on", "-indev", inside, "-extract", "/", "/LAB/out/sb-iso-files")
    extracted = root.lab / "out/sb-iso-files"
    der = root.tool("openssl", "x509", "-in", "/LAB/keys/uki-signing-cert.pem", "-noout", "-fingerprint")
    again = ["openssl", "x509", "-inform", "DER", "-noout", "-fingerprint", "-in"]
    assert root.tool(*again, "/LAB/out/sb-iso-files/EFI/keys/uki-signing-cert.der") == der
    assert (extracted / "loader/loader.conf").read_text().endswith("secure-boot-enroll if-safe\n")
    verify(root, "/LAB/out/sb-iso-files/EFI/BOOT/BOOTAA64.EFI")
    for name in ("PK", "KEK", "db"):
        variable = (extracted / f"loader/keys/auto/{name}.auth").read_bytes()
        # EFI_TIME of SOURCE_DATE_EPOCH, then a certificate of the kind PKCS#7.
        assert variable[:7] == (2023).to_bytes(2, "little") + bytes([11, 14, 22, 13, 20])
        assert variable[24:40].hex() == "9dd2af4adf68ee498aa9347d375665a7"
        certificate = subprocess.run(
            ["openssl", "x509", "-in", root.lab / "keys/uki-signing-cert.pem", "-outform", "DER"],
            capture_output=True,
            check=True,
        ).stdout
        assert variable.endswith(certificate)


def test_iso_takes_given_variables_as_they_are(root: RootRunner, keys: Path) -> None:
    more = ""
    for field, name in (("platformKeyPath", "PK"), ("keyExchangeKeyPath", "KEK"), ("signatureKeyPath", "db")):
        (keys / f"{name}.auth").write_bytes(f"given {name}".encode())
        more += f"    {field}: LAB/keys/{name}.auth\n"
    kind = "iso\n  isoOptions: {sdBootEnrollKeys: force}"
    iso = signed(root, "sb-given", kind, more=more, uid=0)
    inside = f"/LAB/{iso.relative_to(root.lab)}"
    root.tool("xorriso", "-osirrox", "on", "-indev", inside, "-extract", "/loader", "/LAB/out/sb-given-files")
    found = root.lab / "out/sb-given-files"
    assert (found / "keys/auto/KEK.auth").read_bytes() == b"given KEK"
    assert (found / "loader.conf").read_text().endswith("secure-boot-enroll force\n")


def test_installer_carries_signed_files(root: RootRunner) -> None:
    base = "  baseInstaller: {imageRef: a/b:v1, ociPath: LAB/oci/installer-base-v1.13.6}\n"
    inputs = base + signers()
    archive = build(root, "sb-installer", kind="installer", inputs=inputs, more="secureboot: true\n")
    assert archive.name == "installer-arm64-secureboot.tar"


@pytest.mark.parametrize(
    ("pcr", "error"),
    [
        (
            "pkcs8.pem",
            (
                "failed to parse private RSA key: x509: failed to parse private key "
                "(use ParsePKCS8PrivateKey instead for this private key)"
            ),
        ),
        ("nope.pem", "open LAB/keys/nope.pem: no such file or directory"),
        ("uki-signing-cert.pem", "failed to parse private RSA key: asn1: structure error"),
    ],
)
def test_bad_keys_are_named(root: RootRunner, pcr: str, error: str) -> None:
    result = run_profile(root, "sb-bad", kind="uki", inputs=signers(pcr), more="secureboot: true\n")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"Error: failed to get PCR signer: {error}"


@pytest.mark.parametrize("kind", ["kernel", "initramfs"])
def test_secure_boot_is_refused_for_what_nothing_signs(root: RootRunner, kind: str) -> None:
    result = run_profile(root, "sb-none", kind=kind, more="secureboot: true\n")
    assert result.stderr.splitlines()[-1] == f"Error: profile is invalid: secureboot is not supported for {kind} output"


NEXT = "v1.14.0-rc.1"


@pytest.mark.parametrize(("version", "enrolled"), [("v1.13.6", False), (NEXT, True)])
def test_a_signed_disk_has_keys_to_enroll_from_v1_14_on(
    root: RootRunner, keys: Path, version: str, *, enrolled: bool
) -> None:
    disk = build(root, "sb-disk-keys", kind=DISK % "", inputs=signers(), more="secureboot: true\n", version=version)
    image = f"/LAB/{disk.relative_to(root.lab)}@@1048576"
    listing = root.tool("mdir", "-/", "-b", "-i", image, "::").splitlines()
    there = {f"::/loader/keys/auto/{name}.auth" for name in ("PK", "KEK", "db")}
    assert there & set(listing) == (there if enrolled else set())
    settings = root.tool("mtype", "-i", image, "::/loader/loader.conf")
    assert ("secure-boot-enroll if-safe" in settings) is enrolled
    disk.unlink()


def test_a_signed_disk_enrolls_as_it_is_told(root: RootRunner, keys: Path) -> None:
    for word, there in (("force", True), ("off", False)):
        kind = DISK % f", sdBootEnrollKeys: {word}"
        disk = build(root, f"sb-{word}", kind=kind, inputs=signers(), more="secureboot: true\n", version=NEXT)
        image = f"/LAB/{disk.relative_to(root.lab)}@@1048576"
        assert ("secure-boot-enroll force" in root.tool("mtype", "-i", image, "::/loader/loader.conf")) is there
        assert ("::/loader/keys/auto/" in root.tool("mdir", "-/", "-b", "-i", image, "::")) is there
        disk.unlink()
