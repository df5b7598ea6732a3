"""Secure Boot: signs PE files, predicts and signs what a UKI makes of PCR 11, and makes variables to enroll a key.

Keys are files: RSA in PKCS#1 form, the certificate in PEM.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import struct
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ImagerError, open_input
from .tools import run, source_date_epoch

if TYPE_CHECKING:
    from .profile import SecureBootAssets

# The order in which systemd's stub measures a UKI's sections; `.pcrsig` is not measured.
MEASURED = (
    *(".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey"),
    *(".profile", ".dtbauto", ".hwids"),
)
# What Talos measures next, up to the moment at which its disks may be opened.
PHASES = (b"enter-initrd", b"leave-initrd", b"enter-machined")
_PCR = 11
# TPM 2.0 library, part 2: algorithm identifiers and the command code of PolicyPCR.
_BANKS = {"sha256": 0x000B, "sha384": 0x000C, "sha512": 0x000D}
_POLICY_PCR = 0x0000017F
_VARIABLES = ("PK", "KEK", "db")


@dataclass(frozen=True)
class Signer:
    """A key and its certificate, as files."""

    key: Path
    certificate: Path

    def sign(self, source: Path, target: Path) -> None:
        """Writes a PE file with an Authenticode signature."""
        run(["sbsign", "--key", self.key, "--cert", self.certificate, "--output", target, source])

    @property
    def certificate_der(self) -> bytes:
        """The certificate as UEFI wants it."""
        return ssl.PEM_cert_to_DER_cert(_pem_block(self.certificate, "certificate"))


def secure_boot_signer(assets: SecureBootAssets) -> Signer:
    """Returns what signs PE files.

    Raises ImagerError for keys that cannot be read, and for those that do not lie in files.
    """
    chosen = assets.signer
    if not (chosen.get("keyPath") and chosen.get("certPath")):
        raise ImagerError(_no_file(chosen))
    key, certificate = Path(chosen["keyPath"]), Path(chosen["certPath"])
    _check_key(key)
    _pem_block(certificate, "certificate")
    return Signer(key, certificate)


def pcr_key(assets: SecureBootAssets) -> Path:
    """Returns the key that signs PCR values.

    Raises ImagerError for a key that cannot be read, or that does not lie in a file.
    """
    if not assets.pcr_signer.get("keyPath"):
        raise ImagerError(_no_file(assets.pcr_signer))
    key = Path(assets.pcr_signer["keyPath"])
    _check_key(key)
    return key


def _no_file(chosen: Mapping[str, str]) -> str:
    if any(name.startswith(("azure", "aws")) for name in chosen):
        return "the lab's imager signs with keys in files only, not with those of a cloud"
    return "unsupported PCR signer"


def _check_key(path: Path) -> None:
    """Refuses what Go's parser of PKCS#1 refuses; the form that OpenSSL writes by itself, PKCS#8, among it."""
    text = _pem_block(path, "private key")
    der = base64.b64decode("".join(text.splitlines()[1:-1]))
    # SEQUENCE { INTEGER version, then INTEGER modulus in PKCS#1, SEQUENCE algorithm in PKCS#8 }
    body = der[2 + (der[1] & 0x7F if der[1] & 0x80 else 0) :] if len(der) > 2 else b""
    if body[:3] == b"\x02\x01\x00" and body[3:4] == b"\x30":
        hint = "x509: failed to parse private key (use ParsePKCS8PrivateKey instead for this private key)"
        raise ImagerError(f"failed to parse private RSA key: {hint}")
    if body[:3] != b"\x02\x01\x00" or body[3:4] != b"\x02":
        raise ImagerError("failed to parse private RSA key: asn1: structure error")


def _pem_block(path: Path, what: str) -> str:
    with open_input(path) as file:
        text = file.read().decode(errors="replace")
    match = re.search(r"-----BEGIN ([A-Z ]+)-----\s.*?-----END \1-----", text, re.DOTALL)
    if match is None:
        raise ImagerError(f"failed to decode {what}")
    return match[0]


def public_key(key: Path) -> bytes:
    """Returns a key's public half in PEM, as the section `.pcrpkey` has it."""
    return run(["openssl", "rsa", "-in", key, "-pubout"])


def pcr_signature(sections: Iterable[tuple[str, Path]], key: Path) -> bytes:
    """Returns the section `.pcrsig` for sections by name and file: the last one of a name counts.

    For each bank: the policy that PCR 11 has the value which these sections and the phases lead to, signed.
    """
    contents = dict(sections)
    fingerprint = hashlib.sha256(
        run(["openssl", "rsa", "-in", key, "-RSAPublicKey_out", "-outform", "DER"])
    ).hexdigest()
    banks: dict[str, list[dict[str, Any]]] = {}
    for bank in _BANKS:
        policy = pcr_policy(bank, contents)
        signature = run(["openssl", "dgst", f"-{bank}", "-sign", key], stdin=policy)
        banks[bank] = [
            {
                "pcrs": [_PCR],
                "pkfp": fingerprint,
                "pol": policy.hex(),
                "sig": base64.b64encode(signature).decode(),
            }
        ]
    return json.dumps(banks, separators=(",", ":")).encode()


def pcr_policy(bank: str, sections: Mapping[str, Path]) -> bytes:
    """Returns the digest of the policy that PCR 11 of a bank is as after booting these sections."""

    def digest(data: bytes) -> bytes:
        return hashlib.new(bank, data).digest()

    value = bytes(hashlib.new(bank).digest_size)
    for name in MEASURED:
        if name in sections:
            value = digest(value + digest(name.encode() + b"\0"))
            with sections[name].open("rb") as file:
                value = digest(value + hashlib.file_digest(file, bank).digest())
    for phase in PHASES:
        value = digest(value + digest(phase))
    selection = struct.pack(">IHB3s", 1, _BANKS[bank], 3, (1 << _PCR).to_bytes(3, "little"))
    command = struct.pack(">I", _POLICY_PCR)
    return hashlib.sha256(bytes(32) + command + selection + hashlib.sha256(value).digest()).digest()


def enrollment(signer: Signer, scratch: Path) -> dict[str, Path]:
    """Makes PK, KEK and db with the signer's certificate alone, each signed by it: name → `NAME.auth`."""
    pem = _pem_block(signer.certificate, "certificate") + "\n"
    owner = owner_guid(pem)
    epoch = source_date_epoch()
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() if epoch is None else epoch))
    made: dict[str, Path] = {}
    for name in _VARIABLES:
        signatures, variable = scratch / f"{name}.esl", scratch / f"{name}.auth"
        run(["cert-to-efi-sig-list", "-g", owner, signer.certificate, signatures])
        command = ["sign-efi-sig-list", "-t", moment, "-g", owner, "-k", signer.key, "-c", signer.certificate]
        run([*command, name, signatures, variable])
        made[name] = variable
    return made


def owner_guid(certificate: str) -> str:
    """Returns the owner's GUID of a certificate in PEM: a version 4 UUID of its SHA-256 in the X.500 name space."""
    digest = bytearray(hashlib.sha256(uuid.NAMESPACE_X500.bytes + certificate.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x40
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))
