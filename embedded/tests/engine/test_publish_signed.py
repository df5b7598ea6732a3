"""Images that `publish --sign-key` signed, and what the real cosign says of them.

Making cosign takes minutes: these are tests of the whole lab where nobody had it made before.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from embedded import lab
from embedded.lab.contents import cosign
from embedded.lab.debian import NATIVE
from embedded.lab.progress import PlainProgress
from embedded.tests.engine.publishing import VARIANT, VARIANTS, Registry, call, crane, publish, published, refused

IMAGE = f"ghcr.io/sigstore/cosign/cosign:{cosign.version()}"
PROGRAM = f"part/cosign/{NATIVE}"

pytestmark = [pytest.mark.slow, pytest.mark.lab if lab.builder().results([IMAGE]) is None else pytest.mark.engine]

PASSWORD = "a-password-of-the-tests"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIGNED = "https://sigstore.dev/cosign/sign/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
SPDX = "https://spdx.dev/Document"


@dataclass(frozen=True)
class Cosign:
    """The program, and the key pairs that it made: `NAME.key` and `NAME.pub`."""

    folder: Path

    def run(self, *arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
        program = lab.builder().results_folder(PROGRAM) / "cosign"
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "COSIGN_PASSWORD": password}
        command = [program, *arguments]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def make_key(self, name: str, password: str = "") -> None:
        made = self.run("generate-key-pair", "--output-key-prefix", name, password=password)
        assert made.returncode == 0, made.stderr

    def verify(self, reference: str, key: str) -> subprocess.CompletedProcess[str]:
        """As docs/publish.md says."""
        return self.run("verify", "--key", f"{key}.pub", "--insecure-ignore-tlog", reference)

    def attestation(self, reference: str, key: str, kind: str) -> subprocess.CompletedProcess[str]:
        """As docs/publish.md says."""
        return self.run(
            *("verify-attestation", "--key", f"{key}.pub", "--insecure-ignore-tlog", "--type", kind, reference)
        )

    def verify_file(self, file: Path, bundle: Path, key: str) -> subprocess.CompletedProcess[str]:
        """As docs/outputs.md says."""
        named = ("--key", f"{key}.pub", "--insecure-ignore-tlog", "--bundle", str(bundle))
        return self.run("verify-blob", *named, str(file))

    def signing(self, key: str) -> tuple[str, str]:
        return ("--sign-key", f"file:{self.folder / key}.key")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Cosign:
    lab.ensure([IMAGE], progress=PlainProgress())
    keys = Cosign(tmp_path_factory.mktemp("keys"))
    keys.make_key("ours", PASSWORD)
    keys.make_key("another")
    return keys


@pytest.fixture(scope="module")
def signed(registry: Registry, keys: Cosign) -> dict[str, Any]:
    """What is printed of an image of two platforms, signed with our key."""
    to = f"{registry.host}/signed"
    secret = ("--sign-password", "env:SIGN_PASSWORD")
    done = publish(to, "--arches", "arm64,amd64", *keys.signing("ours"), *secret, SIGN_PASSWORD=PASSWORD)
    assert done.returncode == 0, done.stderr
    private = (keys.folder / "ours.key").read_text().splitlines()
    assert not [line for line in (*private[1:-1], PASSWORD) if line in done.stdout + done.stderr]
    (image,) = json.loads(done.stdout)["images"]
    return image


def references(image: dict[str, Any]) -> list[str]:
    """The index by tag and by digest, and the image of each platform."""
    digests = [image["digest"], *(platform["digest"] for platform in image["platforms"])]
    return [f"{image['repository']}:{image['tags'][0]['tag']}", *(f"{image['repository']}@{one}" for one in digests)]


def test_cosign_takes_every_image_with_the_public_key_and_none_with_another(
    signed: dict[str, Any], keys: Cosign
) -> None:
    assert len(references(signed)) == 4
    for reference in references(signed):
        done = keys.verify(reference, "ours")
        assert done.returncode == 0, done.stderr
        digest = reference.partition("@")[2] or signed["digest"]
        # cosign tells attestations too, which a platform's image has and the index has not.
        kinds = {SIGNED} if digest == signed["digest"] else {SIGNED, PROVENANCE, SPDX}
        found = [(one["critical"]["type"], one["critical"]["image"]) for one in json.loads(done.stdout)]
        assert sorted(found) == [(kind, {"docker-manifest-digest": digest}) for kind in sorted(kinds)]
        done = keys.verify(reference, "another")
        assert done.returncode != 0
        assert "no matching attestations" in done.stderr


@pytest.mark.parametrize(
    ("kind", "predicate", "key"),
    [
        ("slsaprovenance1", PROVENANCE, "buildDefinition"),
        ("spdxjson", SPDX, "packages"),
    ],
)
def test_cosign_takes_what_is_attached_to_each_platforms_image(
    signed: dict[str, Any], keys: Cosign, kind: str, predicate: str, key: str
) -> None:
    for platform in signed["platforms"]:
        reference = f"{signed['repository']}@{platform['digest']}"
        done = keys.attestation(reference, "ours", kind)
        assert done.returncode == 0, done.stderr
        statement = json.loads(base64.b64decode(json.loads(done.stdout)["payload"]))
        assert statement["predicateType"] == predicate
        assert statement["predicate"][key]
        assert statement["subject"][0]["digest"]["sha256"] == platform["digest"].removeprefix("sha256:")
        assert predicate in {one.get("predicateType") for one in platform["referrers"]}
        assert keys.attestation(reference, "another", kind).returncode != 0


def test_disk_images_are_signed_like_the_rest(registry: Registry, keys: Cosign) -> None:
    chosen = ("--disk-images", "openstack.qcow2")
    to = (f"{registry.host}/disks", "--arches", "arm64,amd64")
    secret = ("--sign-password", "env:SIGN_PASSWORD")
    (image,) = published(*to, *keys.signing("ours"), *secret, chosen=chosen, SIGN_PASSWORD=PASSWORD)["images"]
    assert len(references(image)) == 4
    for reference in references(image):
        assert [keys.verify(reference, key).returncode for key in ("ours", "another")] == [0, 1], reference
    for platform in image["platforms"]:
        reference = f"{image['repository']}@{platform['digest']}"
        for kind, predicate in (("slsaprovenance1", PROVENANCE), ("spdxjson", SPDX)):
            done = keys.attestation(reference, "ours", kind)
            assert done.returncode == 0, done.stderr
            assert json.loads(base64.b64decode(json.loads(done.stdout)["payload"]))["predicateType"] == predicate


# Files


@pytest.fixture(scope="module")
def files(keys: Cosign, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build whose files are signed with our key."""
    out = tmp_path_factory.mktemp("signed")
    wanted = ("--variant", VARIANT, "--outputs", "kernel,initramfs,uki")
    secret = ("--sign-password", "env:SIGN_PASSWORD")
    words = ("build", *wanted, *keys.signing("ours"), *secret, "export", "--path", out)
    done = call("--variants", VARIANTS, *words, SIGN_PASSWORD=PASSWORD)
    assert done.returncode == 0, done.stderr
    return out / "assets/talos/arm64"


def test_cosign_takes_each_file_with_the_public_key_and_nothing_else(files: Path, keys: Cosign) -> None:
    signed = [path.relative_to(files).as_posix() for path in files.rglob("*.sigstore.json")]
    assert sorted(signed) == sorted(
        f"{path}.sigstore.json"
        for path in (
            *("boot/vmlinuz", "boot/initramfs.xz", "uki/metal-arm64-uki.efi", "checksums.sha256"),
            *(f"validation/build-report.{end}" for end in ("json", "txt", "html")),
        )
    )
    assert ".sigstore.json" not in (files / "checksums.sha256").read_text()
    for name in signed:
        bundle = files / name
        for key, file, right in (
            ("ours", bundle.with_name(bundle.name.removesuffix(".sigstore.json")), True),
            ("another", bundle.with_name(bundle.name.removesuffix(".sigstore.json")), False),
            ("ours", bundle, False),
        ):
            done = keys.verify_file(file, bundle, key)
            assert (done.returncode == 0) is right, done.stderr


def verified(files: Path, key: Path) -> subprocess.CompletedProcess[str]:
    return call("verify", "--assets", files, "--cosign-key", key)


def test_verify_takes_signed_files_with_the_public_key_alone(files: Path, keys: Cosign, tmp_path: Path) -> None:
    done = verified(files, keys.folder / "ours.pub")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("ok    signatures.")] == [
        "ok    signatures.files        Every detached signature is for the file next to it.",
        "ok    signatures.key          Every file is signed with the given key, or in a signed list of checksums.",
    ]
    done = verified(files, keys.folder / "another.pub")
    assert done.returncode != 0
    assert "- boot/vmlinuz: " in done.stderr
    done = verified(files, keys.folder / "ours.key")
    assert done.stderr.rstrip().endswith(
        "--cosign-key: no public key in PEM (-----BEGIN PUBLIC KEY-----), as in cosign.pub"
    )
    changed = tmp_path / "changed"
    shutil.copytree(files, changed)
    (changed / "validation/sbom.spdx.json").write_text("{}")
    (changed / "checksums.sha256.sigstore.json").unlink()
    done = verified(changed, keys.folder / "ours.pub")
    assert done.returncode != 0
    assert "validation/sbom.spdx.json is not signed, and in no list of checksums that is" in done.stderr


def test_an_image_that_nobody_signed_is_not_taken(registry: Registry, keys: Cosign) -> None:
    (image,) = published(f"{registry.host}/unsigned")["images"]
    assert keys.verify(image["reference"], "ours").returncode != 0
    assert BUNDLE not in {one["artifactType"] for one in image["platforms"][0]["referrers"]}


def test_the_same_key_does_not_sign_again_and_a_second_one_does(
    registry: Registry, signed: dict[str, Any], keys: Cosign
) -> None:
    to = (f"{registry.host}/signed", "--arches", "arm64,amd64")
    secret = ("--sign-password", "env:SIGN_PASSWORD")
    (again,) = published(*to, *keys.signing("ours"), *secret, SIGN_PASSWORD=PASSWORD)["images"]
    assert (again["digest"], again["sentBlobs"], again["sentManifests"]) == (signed["digest"], 0, 0)
    (more,) = published(*to, *keys.signing("another"))["images"]
    assert (more["digest"], more["sentManifests"] > 0) == (signed["digest"], True)
    for reference in references(signed):
        assert [keys.verify(reference, key).returncode for key in ("ours", "another")] == [0, 0]


@pytest.mark.parametrize("given", [(), ("--sign-password", "env:SIGN_PASSWORD")])
def test_a_key_that_does_not_open_is_told_before_anything_is_published(
    registry: Registry, keys: Cosign, given: tuple[str, ...]
) -> None:
    said = refused(f"{registry.host}/closed", *keys.signing("ours"), *given, SIGN_PASSWORD="wrong")
    assert said.startswith("Error: FunctionError: cosign can't sign: ")
    assert said.endswith(". Check --sign-key and --sign-password")
    assert "closed/talos" not in crane("catalog", registry.host).splitlines()
