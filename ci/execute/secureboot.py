"""Keys for secure boot, as secrets: the imager gets them as files, and nothing else sees them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci.common.errors import UserError
from ci.plan import profile
from ci.plan.model import SecureBoot

if TYPE_CHECKING:
    import dagger


@dataclass(frozen=True)
class Keys:
    """The signing key with its certificate, the key for PCR measurements, and what firmware enrols, if given."""

    key: dagger.Secret
    certificate: dagger.File
    pcr_key: dagger.Secret
    enrolment: dagger.Directory | None = None

    async def planned(self) -> SecureBoot:
        """Return what a plan says of the keys; raises `UserError` where one is not what the imager reads."""
        certificate = await self.certificate.contents()
        if "-----BEGIN CERTIFICATE-----" not in certificate:
            raise UserError("--secureboot-cert: no certificate in PEM (-----BEGIN CERTIFICATE-----)")
        for name, secret in (("--secureboot-key", self.key), ("--secureboot-pcr-key", self.pcr_key)):
            if "-----BEGIN RSA PRIVATE KEY-----" not in await secret.plaintext():
                raise UserError(
                    f"{name}: no RSA key in PKCS#1 (-----BEGIN RSA PRIVATE KEY-----), which is what the imager reads: "
                    "`openssl rsa -traditional` writes it"
                )
        if self.enrolment is not None:
            missing = sorted({*profile.ENROLMENT.values()} - {*await self.enrolment.entries()})
            if missing:
                raise UserError(f"--secureboot-enrolment: {', '.join(missing)} is not in the folder")
        digest = hashlib.sha256(certificate.encode()).hexdigest()
        return SecureBoot(certificate=digest, own_enrolment=self.enrolment is not None)

    async def mounted(self, imager: dagger.Container) -> dagger.Container:
        """Return the imager with the keys where its profile says.

        What a secret holds is no part of an exec's cache key, so its digest is: another key is another run. Nobody
        finds a key from that.
        """
        digest = hashlib.sha256()
        for secret in (self.key, self.pcr_key):
            digest.update((await secret.plaintext()).encode() + b"\0")
        imager = (
            imager.with_env_variable("COZYSTACK_TALOS_KEYS", digest.hexdigest())
            .with_mounted_secret(profile.SIGNING_KEY, self.key)
            .with_mounted_secret(profile.PCR_KEY, self.pcr_key)
            .with_mounted_file(profile.SIGNING_CERT, self.certificate)
        )
        for name in profile.ENROLMENT.values() if self.enrolment is not None else ():
            assert self.enrolment is not None
            imager = imager.with_mounted_file(f"{profile.KEYS_DIR}/{name}", self.enrolment.file(name))
        return imager


def parse_keys(
    key: dagger.Secret | None,
    certificate: dagger.File | None,
    pcr_key: dagger.Secret | None,
    enrolment: dagger.Directory | None,
) -> Keys | None:
    """Return the keys that the arguments give, `None` where none are; raises `UserError` for a part of them."""
    if key is None and certificate is None and pcr_key is None and enrolment is None:
        return None
    if key is None or certificate is None or pcr_key is None:
        given = {"--secureboot-key": key, "--secureboot-cert": certificate, "--secureboot-pcr-key": pcr_key}
        missing = ", ".join(name for name, value in given.items() if value is None)
        raise UserError(f"secure boot needs a signing key, its certificate and a PCR key: give {missing} too")
    return Keys(key, certificate, pcr_key, enrolment)
