"""cosign's command lines, whole."""

from __future__ import annotations

import json
import re

import pytest

from ci.common.references import PinnedImage
from ci.publish import cosign

DIGEST = "sha256:" + "ab" * 32
IMAGE = f"ghcr.io/siderolabs/imager@{DIGEST}"


@pytest.mark.parametrize("repository", ["ghcr.io/siderolabs/imager", "127.0.0.1:5000/a/b"])
@pytest.mark.parametrize("tag", ["", ":v1.13.6"])
def test_an_image_is_named_by_its_digest(repository: str, tag: str) -> None:
    assert cosign.by_digest(PinnedImage(reference=f"{repository}{tag}", digest=DIGEST)) == f"{repository}@{DIGEST}"


def test_a_key_is_all_that_is_asked() -> None:
    assert cosign.verify_by_key(IMAGE) == [
        "verify", "--key", "/in/cosign.pub", "--insecure-ignore-tlog", "--output", "text", IMAGE,
    ]  # fmt: skip


def test_sideros_images_have_sideros_identity() -> None:
    assert cosign.verify_sidero(IMAGE) == [
        "verify", "--certificate-oidc-issuer", "https://accounts.google.com", "--certificate-identity-regexp",
        r"(@siderolabs\.com$|^releasemgr-svc@talos-production\.iam\.gserviceaccount\.com$)", "--output", "text", IMAGE,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("identity", "accepted"),
    [
        ("someone@siderolabs.com", True),
        ("releasemgr-svc@talos-production.iam.gserviceaccount.com", True),
        ("someone@siderolabs.com.example.org", False),
        ("someone@siderolabsXcom", False),
        ("x-releasemgr-svc@talos-production.iam.gserviceaccount.com", False),
    ],
)
def test_sideros_identity_is_no_one_elses(identity: str, *, accepted: bool) -> None:
    assert bool(re.search(cosign.SIDERO_IDENTITY, identity)) is accepted


def test_a_signature_is_made_without_registry_and_log() -> None:
    assert cosign.sign_statement("/in/statement.json", "/out/bundle.json") == [
        "attest-blob", "--yes", "--statement", "/in/statement.json",
        "--key", "env://COSIGN_PRIVATE_KEY", "--bundle", "/out/bundle.json",
        "--use-signing-config=false", "--tlog-upload=false",
    ]  # fmt: skip


def test_a_signature_is_of_a_digest() -> None:
    assert json.loads(cosign.signature_statement(DIGEST)) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": "ab" * 32}, "annotations": {}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    }
