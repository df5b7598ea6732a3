"""Boot images signed for secure boot, with keys made for it; openssl makes the keys and checks the signatures."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.authenticode import is_signed
from tests.engine.built import Built
from tests.engine.conftest import ASSETS
from tests.engine.media import installer_files, iso_files, sections

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.conftest import Call

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on this machine")

UKI = "uki/metal-arm64-secureboot-uki.efi"
ISO = "iso/metal-arm64-secureboot.iso"
INSTALLER = "installer/installer-arm64-secureboot.tar"
#: Names of an ISO image, whose case it does not keep.
BOOT_LOADER, ISO_UKI = "EFI/BOOT/BOOTAA64.EFI", "EFI/Linux/Talos-v1.13.6.efi"

#: What takes long to pack.
DROPPED = ("bnx2-bnx2x", "intel-ice-firmware", "qlogic-firmware", "zfs")


def openssl(*arguments: str | Path, stdin: bytes | None = None) -> bytes:
    return subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=True).stdout


@dataclass(frozen=True)
class Keys:
    """A folder with a key for boot images, its certificate, and a key for PCR measurements."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Keys:
        for name in ("uki", "pcr"):
            plain = folder / f"{name}.pkcs8.pem"
            openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", plain)
            openssl("rsa", "-traditional", "-in", plain, "-out", folder / f"{name}.pem")
        openssl(
            "req",
            "-new",
            "-x509",
            "-subj",
            "/CN=test/",
            "-days",
            "3650",
            "-key",
            folder / "uki.pem",
            "-out",
            folder / "uki.crt",
        )
        return cls(folder)

    @property
    def certificate(self) -> Path:
        return self.folder / "uki.crt"

    def arguments(self, **other: str) -> list[str]:
        """Flags of the module; another key by name (`uki`, `pcr`), none where its name is empty."""
        names = {"uki": "uki.pem", "pcr": "pcr.pem", **other}
        given = ["--secureboot-cert", str(self.certificate)]
        for flag, name in (("--secureboot-key", names["uki"]), ("--secureboot-pcr-key", names["pcr"])):
            given += [flag, f"file:{self.folder / name}"] if name else []
        return given

    def secrets(self) -> list[bytes]:
        """What nobody may find: the private numbers of both keys, and lines of their files that hold them."""
        found: list[bytes] = []
        for name in ("uki", "pcr"):
            lines = (self.folder / f"{name}.pem").read_bytes().splitlines()[1:-1]
            # version, modulus, public exponent, private exponent, prime, prime, …
            found += integers(base64.b64decode(b"".join(lines)))[3:6]
            found += [lines[len(lines) // 2], lines[-3]]
        return found


def integers(der: bytes) -> list[bytes]:
    """Return the numbers of a sequence in DER, as they stand in it."""
    found: list[bytes] = []
    at, _ = _content(der, 0)
    while at < len(der):
        start, end = _content(der, at)
        found.append(der[start:end].lstrip(b"\0"))
        at = end
    return found


def _content(der: bytes, at: int) -> tuple[int, int]:
    length, start = der[at + 1], at + 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[at + 2 : start], "big")
    return start, start + length


@dataclass(frozen=True)
class Signed:
    """What was built with the keys, and what was printed meanwhile."""

    keys: Keys
    built: Built
    printed: str

    def read(self, path: str) -> bytes:
        return (self.built.root / path).read_bytes()


@pytest.fixture(scope="module")
def signed(aloud: Call, tmp_path_factory: pytest.TempPathFactory) -> Signed:
    keys, out = Keys.make(tmp_path_factory.mktemp("keys")), tmp_path_factory.mktemp("signed")
    words = ("build", "--variant", "spin-only", "--outputs", "uki,iso,installer", "export", "--path", out)
    done = aloud(*keys.arguments(), *words)
    assert done.returncode == 0, done.stderr
    return Signed(keys, Built(out / ASSETS), done.stdout + done.stderr)


def test_the_uki_is_signed_for_the_certificate_and_no_other(signed: Signed, tmp_path: Path) -> None:
    uki = signed.read(UKI)
    assert is_signed(uki, signed.keys.certificate, tmp_path)
    assert not is_signed(uki, Keys.make(tmp_path).certificate, tmp_path)
    at = uki.index(b"talos.platform=metal")
    assert not is_signed(uki[:at] + b"T" + uki[at + 1 :], signed.keys.certificate, tmp_path)


def test_the_uki_signs_what_it_makes_of_the_tpm(signed: Signed, tmp_path: Path) -> None:
    inside = sections(signed.read(UKI))
    public = tmp_path / "pcr.pub"
    public.write_bytes(openssl("rsa", "-in", signed.keys.folder / "pcr.pem", "-pubout"))
    assert [data for name, data in inside if name == ".pcrpkey"] == [public.read_bytes()]
    (document,) = (data for name, data in inside if name == ".pcrsig")
    banks: dict[str, list[dict[str, Any]]] = json.loads(document)
    assert {"sha256", "sha384", "sha512"} <= set(banks)
    for bank in ("sha256", "sha384", "sha512"):
        for entry in banks[bank]:
            assert entry["pcrs"] == [11]
            (tmp_path / "sig").write_bytes(base64.b64decode(entry["sig"]))
            command = ("dgst", f"-{bank}", "-verify", public, "-signature", tmp_path / "sig")
            assert openssl(*command, stdin=bytes.fromhex(entry["pol"])) == b"Verified OK\n"


def test_the_iso_starts_signed_programs_and_offers_the_keys_to_enrol(signed: Signed, tmp_path: Path) -> None:
    files = iso_files(signed.built.root / ISO)
    for path in (BOOT_LOADER, ISO_UKI):
        assert is_signed(files[path], signed.keys.certificate, tmp_path), path
    der = openssl("x509", "-in", signed.keys.certificate, "-outform", "DER")
    for name in ("PK", "KEK", "db"):
        assert der in files[f"loader/keys/auto/{name}.auth"]


def test_the_installer_holds_signed_programs(signed: Signed, tmp_path: Path) -> None:
    inside = installer_files(signed.built.root / INSTALLER)
    for name in ("vmlinuz.efi", "systemd-boot.efi"):
        assert is_signed(inside[f"usr/install/arm64/{name}"][0], signed.keys.certificate, tmp_path), name


def test_the_assets_pass_and_the_plan_names_the_certificate(signed: Signed) -> None:
    report = json.loads(signed.read("validation/build-report.json"))
    assert {check["status"] for check in report["checks"]} <= {"pass", "skip"}
    assert [output["path"] for output in report["plan"]["outputs"]] == [UKI, INSTALLER, ISO]
    digest = hashlib.sha256(signed.keys.certificate.read_bytes()).hexdigest()
    assert report["plan"]["secureBoot"] == {"certificate": digest, "ownEnrolment": False}


def test_no_file_and_nothing_printed_has_a_private_key(signed: Signed) -> None:
    secrets = signed.keys.secrets()
    assert len(secrets) == 10
    assert min(map(len, secrets)) >= 64
    root = signed.built.root
    files = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert {UKI, ISO, INSTALLER, "validation/build-report.json"} <= set(files)
    files |= {f"{INSTALLER}:{path}": data for path, (data, _) in installer_files(root / INSTALLER).items()}
    assert [path for path, data in files.items() if any(secret in data for secret in secrets)] == []
    assert "imager" in signed.printed
    assert not any(secret in signed.printed.encode() for secret in secrets)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"uki": "uki.pkcs8.pem"}, "--secureboot-key: no RSA key in PKCS#1 (-----BEGIN RSA PRIVATE KEY-----)"),
        ({"pcr": "pcr.pkcs8.pem"}, "--secureboot-pcr-key: no RSA key in PKCS#1 (-----BEGIN RSA PRIVATE KEY-----)"),
        ({"pcr": ""}, "secure boot needs a signing key, its certificate and a PCR key: give --secureboot-pcr-key too"),
    ],
)
def test_missing_keys_and_those_that_the_imager_can_not_read_are_refused(
    signed: Signed, call: Call, other: dict[str, str], message: str
) -> None:
    done = call(*signed.keys.arguments(**other), "build", "--variant", "spin-only", "--outputs", "uki", "entries")
    assert (done.returncode != 0, done.stdout) == (True, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(secret in done.stderr.encode() for secret in signed.keys.secrets())


def test_two_signed_builds_differ_in_the_time_of_signing_alone(signed: Signed, call: Call, tmp_path: Path) -> None:
    drops = "".join(f"    - {{name: {name}, reason: takes time}}\n" for name in DROPPED)
    (tmp_path / "small.yaml").write_text(f"description: for tests\nrole: test\nextensions:\n  drop:\n{drops}")
    words = ("reproduce", "--variant", "small", "--outputs", "uki,metal.qcow2", "--format", "json")
    done = call(*signed.keys.arguments(), "--variants", tmp_path, *words)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["equal"] is True
    unsigned = {file["path"]: set(file.get("without_signature", ())) for file in found["files"]}
    assert UKI in unsigned[UKI]
    assert {"EFI/boot/BOOTAA64.efi", ISO_UKI} <= unsigned["metal/metal-arm64-secureboot.qcow2"]
