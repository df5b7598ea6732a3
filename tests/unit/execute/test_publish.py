"""What is refused before anything is built for publishing, and what is attached."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from ci.common.arch import Arch, parse_arches
from ci.common.errors import RegistryError, UserError
from ci.common.oci import INDEX, MANIFEST
from ci.common.references import PinnedImage
from ci.execute import publish
from ci.execute.publish import parse_destination, refuse_stand_ins
from ci.execute.signing import Signer
from ci.main import CozystackTalos
from ci.publish import cosign, statements
from ci.publish.address import parse_address
from ci.publish.auth import Credentials
from ci.publish.client import Manifest, Registry
from ci.publish.publication import PublishedPlatform
from ci.publish.push import Pusher, digest_of
from tests.unit.catalogs import digest
from tests.unit.planning import plan_of, request
from tests.unit.publish.fake import FakeRegistry
from tests.unit.publish.published import published

if TYPE_CHECKING:
    import dagger

    from ci.plan.model import Plan
    from ci.publish.push import Artifact


class Secret:
    async def plaintext(self) -> str:
        return "s3cret"


SECRET = cast("dagger.Secret", Secret())


async def test_a_destination_is_read() -> None:
    to = await parse_destination("ghcr.io/me", "stable", "me", SECRET, plain_http=False)
    assert (str(to.address), to.channel, to.credentials) == ("ghcr.io/me", "stable", Credentials("me", "s3cret"))


@pytest.mark.parametrize(
    ("username", "password", "missing"), [("me", None, "--password env:NAME"), (None, SECRET, "--username")]
)
async def test_half_of_the_credentials_are_refused(username: str | None, password: Any, missing: str) -> None:
    with pytest.raises(RegistryError, match=f"^credentials for ghcr.io are incomplete: add {missing}$"):
        await parse_destination("ghcr.io/me", None, username, password, plain_http=False)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"address": "https://ghcr.io/me"}, RegistryError),
        ({"address": "ghcr.io/me", "channel": "v1.13"}, UserError),
        ({"address": "ghcr.io/me", "image_names": ["iso"]}, UserError),
        ({"address": "ghcr.io/me", "arches": ["arm64,x86_64"]}, UserError),
        ({"address": "ghcr.io/me", "username": "me"}, RegistryError),
    ],
)
async def test_a_wrong_word_is_refused_before_anything_is_fetched(
    arguments: dict[str, Any], error: type[Exception]
) -> None:
    module: Any = CozystackTalos(upstream=None)
    with pytest.raises(error):
        await module.publish("spin-only", **arguments)


def test_architectures_are_asked_for_once_each() -> None:
    assert parse_arches(["amd64,arm64", "amd64"]) == (Arch.AMD64, Arch.ARM64)
    with pytest.raises(UserError, match=r"^no architecture is asked for: choose from arm64, amd64$"):
        parse_arches([])


@pytest.mark.parametrize("address", ["ghcr.io/me", "10.0.0.1:5000", "localhost.example.com"])
async def test_stand_ins_stay_on_this_machine(address: str) -> None:
    plan = await plan_of(request())
    refuse_stand_ins([plan], parse_address(address))
    with pytest.raises(UserError, match="these images are stand-ins from the lab"):
        refuse_stand_ins([plan, plan.model_copy(update={"stand_in": True})], parse_address(address))


async def test_stand_ins_may_go_to_a_registry_here() -> None:
    stand_in = (await plan_of(request())).model_copy(update={"stand_in": True})
    for address in ("127.0.0.1:5000/lab", "localhost:5000", "[::1]:5000"):
        refuse_stand_ins([stand_in], parse_address(address))


# What is attached

STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "installer/installer-arm64.tar", "digest": {"sha256": "1" * 64}}],
    "predicateType": "https://slsa.dev/provenance/v1",
    "predicate": {"buildDefinition": {"resolvedDependencies": [{"name": "imager"}]}},
}


async def test_provenance_is_of_the_image_and_of_the_files_in_it() -> None:
    plan = await plan_of(request())
    made = statements.provenance(plan, json.dumps(STATEMENT), "ghcr.io/me/talos", digest("a"), None)
    document = json.loads(made.content)
    image = {"name": "ghcr.io/me/talos", "digest": {"sha256": "a" * 64}}
    assert document == {**STATEMENT, "subject": [image, *STATEMENT["subject"]]}
    assert made.artifact_type == "application/vnd.in-toto+json"
    assert made.annotations["in-toto.io/predicate-type"] == "https://slsa.dev/provenance/v1"
    assert made.annotations["org.opencontainers.image.created"] == "2023-11-14T22:13:20Z"


async def test_a_base_is_among_the_inputs() -> None:
    base = PinnedImage(reference="quay.io/poseidon/matchbox:v0.11.0", digest=digest("7"))
    made = statements.provenance(await plan_of(request()), json.dumps(STATEMENT), "x", digest("a"), base)
    inputs = json.loads(made.content)["predicate"]["buildDefinition"]["resolvedDependencies"]
    uri = f"pkg:oci/matchbox@{digest('7')}?repository_url=quay.io%2Fposeidon%2Fmatchbox&tag=v0.11.0"
    assert inputs == [{"name": "imager"}, {"name": "base", "uri": uri, "digest": {"sha256": "7" * 64}}]


async def test_an_sbom_is_attached_as_it_is() -> None:
    made = statements.sbom(await plan_of(request()), '{"é": 1}\n')
    assert (made.artifact_type, made.content) == ("application/spdx+json", '{"é": 1}\n'.encode())


def test_an_sbom_is_the_predicate_of_a_statement_about_an_image() -> None:
    assert json.loads(statements.sbom_statement(digest("a"), '{"spdxVersion": "SPDX-2.3"}')) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": "a" * 64}}],
        "predicateType": "https://spdx.dev/Document",
        "predicate": {"spdxVersion": "SPDX-2.3"},
    }


# Signatures


def bundle(hint: str, number: int, statement: str) -> str:
    """A bundle as cosign writes it: the same key's are never equal."""
    envelope = {"payload": base64.b64encode(statement.encode()).decode(), "signatures": [{"sig": f"sig{number}"}]}
    return json.dumps({"verificationMaterial": {"publicKey": {"hint": hint}}, "dsseEnvelope": envelope})


class FakeSigner:
    def __init__(self, hint: str) -> None:
        self.hint = hint
        self.made = 0

    async def sign(self, plan: Plan, claims: list[str]) -> list[Artifact]:
        self.made += 1
        return [statements.signature(plan, one, bundle(self.hint, self.made, one)) for one in claims]


def provenance_of(of: str) -> str:
    return json.dumps({**STATEMENT, "subject": [{"name": "x", "digest": {"sha256": of.removeprefix("sha256:")}}]})


PREDICATES = [cosign.SIGNED, "https://spdx.dev/Document", "https://slsa.dev/provenance/v1"]


@pytest.mark.parametrize("referrers", [False, True])
async def test_a_key_signs_the_index_and_each_platform_with_its_documents_once(*, referrers: bool) -> None:
    fake = FakeRegistry(referrers=referrers)
    plan = await plan_of(request())
    platform = {"mediaType": MANIFEST, "digest": digest("b"), "size": 9, "platform": {"os": "linux"}}
    index = Manifest(json.dumps({"manifests": [platform]}).encode(), INDEX)
    image = published(digest=digest_of(index.content), tags=())
    claims = {digest("b"): (statements.sbom_statement(digest("b"), '{"spdxVersion": "x"}'), provenance_of(digest("b")))}
    address = parse_address("registry.example/lab")
    async with Registry(address, transport=fake.transport, pauses=()) as registry:
        one, two = FakeSigner("one"), FakeSigner("two")
        for signer, expected in ((one, 4), (one, 4), (two, 8)):
            pushed = publish.Pushed(Pusher(registry, "lab/talos"), plan, index, image, claims)
            signed = await publish.sign(pushed, cast("Any", signer))
            signatures = {
                text for _, text in fake.manifests.values() if b"dsse-envelope" in text and b"subject" in text
            }
            assert len(signatures) == expected
            assert [found.predicate_type for found in signed.published.referrers] == [cosign.SIGNED]
            assert [found.artifact_type for found in signed.published.platforms[0].referrers] == [
                "application/spdx+json", cosign.BUNDLE, cosign.BUNDLE, cosign.BUNDLE,
            ]  # fmt: skip
            assert [found.predicate_type for found in signed.published.platforms[0].referrers] == [None, *PREDICATES]
    subjects = {json.loads(text)["subject"]["digest"] for text in signatures}
    assert subjects == {digest("b"), image.digest}


async def test_a_document_that_changed_is_signed_anew() -> None:
    fake = FakeRegistry(referrers=True)
    plan = await plan_of(request())
    platform = PublishedPlatform(platform="linux/arm64", digest=SIGNED_IMAGE, plan="c" * 64, referrers=())
    image = published(digest=SIGNED_IMAGE, tags=(), platforms=(platform,))
    found: list[list[str]] = []
    signer = FakeSigner("one")
    large = json.dumps({"packages": ["a part of an extension"] * 500_000})
    async with Registry(parse_address("registry.example/lab"), transport=fake.transport, pauses=()) as registry:
        for document in ('{"packages": []}', large, large):
            claims = {SIGNED_IMAGE: (statements.sbom_statement(SIGNED_IMAGE, document),)}
            pushed = publish.Pushed(Pusher(registry, "lab/talos"), plan, Manifest(b"{}", MANIFEST), image, claims)
            signed = await publish.sign(pushed, cast("Any", signer))
            found.append([one.digest for one in signed.published.platforms[0].referrers])
    (signature, sbom), (same, other), again = found
    assert (signature == same, sbom == other) == (True, False)
    assert again == [same, other]


SIGNED_IMAGE = digest_of(b"{}")
CLAIM = cosign.signature_statement(SIGNED_IMAGE)


async def sign_beside(artifact_type: str, content: str, *, referrers: bool) -> tuple[str, str]:
    """Sign an image at which something bears the name of the key; return both digests."""
    fake = FakeRegistry(referrers=referrers)
    plan = await plan_of(request())
    subject = {"mediaType": MANIFEST, "digest": SIGNED_IMAGE, "size": 2}
    platform = PublishedPlatform(platform="linux/arm64", digest=SIGNED_IMAGE, plan="c" * 64, referrers=())
    image = published(digest=SIGNED_IMAGE, tags=(), platforms=(platform,))
    ours = statements.signature(plan, CLAIM, bundle("one", 1, CLAIM))
    async with Registry(parse_address("registry.example/lab"), transport=fake.transport, pauses=()) as registry:
        pusher = Pusher(registry, "lab/talos")
        there = await pusher.artifact(subject, replace(ours, artifact_type=artifact_type, content=content.encode()))
        pushed = publish.Pushed(pusher, plan, Manifest(b"{}", MANIFEST), image)
        signed = await publish.sign(pushed, cast("Any", FakeSigner("one")))
    (found,) = signed.published.platforms[0].referrers
    return there, found.digest


@pytest.mark.parametrize(
    ("artifact_type", "content"),
    [
        ("text/plain", bundle("one", 7, CLAIM)),
        (cosign.BUNDLE, "a word"),
        (cosign.BUNDLE, "[]"),
        (cosign.BUNDLE, bundle("one", 7, cosign.signature_statement(digest("c")))),
        (cosign.BUNDLE, bundle("two", 7, CLAIM)),
        (cosign.BUNDLE, bundle("one", 7, provenance_of(SIGNED_IMAGE))),
        (cosign.BUNDLE, bundle("one", 7, CLAIM.replace('"predicate": {}', '"predicate": {"a": 1}'))),
    ],
)
@pytest.mark.parametrize("referrers", [False, True])
async def test_what_only_bears_the_keys_name_is_no_signature(
    artifact_type: str, content: str, *, referrers: bool
) -> None:
    there, signed = await sign_beside(artifact_type, content, referrers=referrers)
    assert there != signed


async def test_a_signature_of_before_is_taken_for_what_it_is() -> None:
    there, signed = await sign_beside(cosign.BUNDLE, bundle("one", 7, CLAIM), referrers=True)
    assert there == signed


async def test_a_password_without_a_key_is_refused() -> None:
    assert Signer.of(None, None) is None
    with pytest.raises(UserError, match="--sign-password is the password of a key: add --sign-key"):
        Signer.of(None, SECRET)
