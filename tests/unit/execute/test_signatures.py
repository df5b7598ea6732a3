"""Whose signatures are taken, and what is said of images without one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import pytest

from ci.common.errors import UserError
from ci.common.references import PinnedImage
from ci.execute import tools
from ci.execute.registry import Login
from ci.execute.signatures import Signers
from ci.publish import cosign
from tests.unit.engine import exec_error
from tests.unit.planning import plan_of, request

if TYPE_CHECKING:
    import dagger

    from ci.plan.model import Plan

DIGEST = "sha256:" + "ab" * 32
SAID = "WARNING: Skipping tlog…\nError: no signatures found\nerror during command execution: no signatures found\n\n"
KEY = cast("dagger.File", object())


def image(reference: str) -> PinnedImage:
    return PinnedImage(reference=reference, digest=DIGEST)


# Who may have signed


@pytest.mark.parametrize(
    ("texts", "mirrors"),
    [
        ([], {}),
        (["ghcr.io=127.0.0.1:5000/ghcr.io"], {"ghcr.io": "127.0.0.1:5000/ghcr.io"}),
        (["ghcr.io=a.example, quay.io=b.example/x/"], {"ghcr.io": "a.example", "quay.io": "b.example/x"}),
        (
            ["a.example:5000=b.example", "c.example=d.example"],
            {"a.example:5000": "b.example", "c.example": "d.example"},
        ),
    ],
)
def test_mirrors_are_read(texts: list[str], mirrors: dict[str, str]) -> None:
    assert cosign.parse_mirrors(texts) == mirrors


@pytest.mark.parametrize("text", ["", "ghcr.io", "ghcr.io=", "=a", "ghcr.io/siderolabs=a", "ghcr.io=https://a"])
def test_a_mirror_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"bad mirror .*: write REGISTRY=ADDRESS, for example ghcr\.io="):
        cosign.parse_mirrors([text])


def test_a_mirror_takes_the_registrys_place_and_no_others() -> None:
    mirrors = {"ghcr.io": "127.0.0.1:5000/ghcr.io"}
    assert cosign.by_digest(image("ghcr.io/siderolabs/zfs:1"), mirrors) == (
        f"127.0.0.1:5000/ghcr.io/siderolabs/zfs@{DIGEST}"
    )
    assert cosign.by_digest(image("ghcr.io.example/zfs:1"), mirrors) == f"ghcr.io.example/zfs@{DIGEST}"


def signers(reference: str, *, key: bool) -> list[str]:
    return [who for who, _ in cosign.rules(image(reference), {}, key=key)]


def test_sideros_images_are_signed_by_sidero_or_by_the_key() -> None:
    assert signers("ghcr.io/siderolabs/imager:v1.13.6", key=False) == ["Sidero Labs"]
    assert signers("ghcr.io/siderolabs/imager:v1.13.6", key=True) == ["the key given", "Sidero Labs"]


@pytest.mark.parametrize("reference", ["ghcr.io/example/sensors:v2", "ghcr.io/siderolabs-x/zfs:1", "example.org/a:b"])
def test_others_images_are_signed_by_the_key_alone(reference: str) -> None:
    assert signers(reference, key=True) == ["the key given"]
    with pytest.raises(UserError, match="is not Sidero Labs' own: give its signer's public key as --cosign-key"):
        signers(reference, key=False)


def test_a_request_without_verify_signatures_is_none_and_half_of_one_is_refused() -> None:
    assert Signers.of(False, None, None) is None
    assert Signers.of(True, None, None) == Signers(None, {})
    assert Signers.of(True, KEY, ["ghcr.io=a"]) == Signers(KEY, {"ghcr.io": "a"})
    for key, mirrors in ((KEY, None), (None, ["ghcr.io=a"])):
        with pytest.raises(UserError, match="add --verify-signatures"):
            Signers.of(False, key, mirrors)


def test_the_reason_is_what_cosign_said_last() -> None:
    assert cosign.reason(SAID) == "no signatures found"
    assert cosign.reason("\n") == "it said nothing"


# What is done, with a cosign that knows who signed what


@dataclass
class Cosign:
    """Answers by reference with a digest: those of the key, those of Sidero."""

    by_key: set[str] = field(default_factory=set[str])
    by_sidero: set[str] = field(default_factory=set[str])
    ran: list[list[str]] = field(default_factory=list[list[str]])
    command: list[str] = field(default_factory=list[str])
    has_key: bool = False
    login: dict[str, object] = field(default_factory=dict[str, object])
    #: Reference → login that it was asked with.
    logins: dict[str, dict[str, object]] = field(default_factory=dict[str, dict[str, object]])

    def with_mounted_file(self, path: str, file: object) -> Cosign:
        assert (path, file) == (cosign.PUBLIC_KEY, KEY)
        return replace(self, has_key=True)

    def with_env_variable(self, name: str, value: object) -> Cosign:
        return replace(self, login={**self.login, name: value})

    with_secret_variable = with_env_variable

    def with_exec(self, command: list[str], *, use_entrypoint: bool) -> Cosign:
        assert use_entrypoint
        return replace(self, command=command)

    async def sync(self) -> None:
        self.ran.append(self.command)
        self.logins[self.command[-1]] = self.login
        key = "--key" in self.command
        assert not key or self.has_key
        if self.command[-1] not in (self.by_key if key else self.by_sidero):
            raise exec_error(["cosign", *self.command], 1, stderr=SAID)


async def the_plan() -> Plan:
    return await plan_of(request())


def all_of(plan: Plan) -> set[str]:
    images = [plan.imager, plan.installer_base, plan.catalog, *plan.extensions]
    return {cosign.by_digest(image) for image in images if image}


async def verified(monkeypatch: pytest.MonkeyPatch, stand_in: Cosign, signers: Signers) -> str:
    monkeypatch.setattr(tools, "cosign", lambda: stand_in)
    plan = await the_plan()
    try:
        await signers.verify(plan)
    except UserError as error:
        return str(error)
    return ""


async def test_every_image_of_the_plan_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = await the_plan()
    stand_in = Cosign(by_sidero=all_of(plan))
    monkeypatch.setattr(tools, "cosign", lambda: stand_in)
    found = await Signers(None, {}).verify(plan)
    assert set(found.values()) == {"Sidero Labs"}
    assert {plan.imager.pinned, plan.installer_base.pinned, *(entry.pinned for entry in plan.extensions)} <= set(found)
    assert {command[-1] for command in stand_in.ran} == all_of(plan)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(all_of(plan))
    assert f"signed by Sidero Labs: {plan.imager.pinned}" in said


async def test_an_image_without_a_signature_is_named_with_what_cosign_said(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = await the_plan()
    unsigned = plan.extensions[-1]
    stand_in = Cosign(by_sidero=all_of(plan) - {cosign.by_digest(unsigned)})
    assert await verified(monkeypatch, stand_in, Signers(None, {})) == (
        f"1 of {len(all_of(plan))} images are not signed as they have to be:\n"
        f"{unsigned.pinned}: not signed by Sidero Labs: no signatures found"
    )


async def test_with_a_key_either_signature_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    images = all_of(await the_plan())
    some = set(sorted(images)[::2])
    stand_in = Cosign(by_key=some, by_sidero=images - some)
    assert await verified(monkeypatch, stand_in, Signers(KEY, {})) == ""
    text = await verified(monkeypatch, Cosign(), Signers(KEY, {}))
    assert text.count("not signed by the key given: no signatures found; not signed by Sidero Labs: ") == len(images)


async def test_an_image_nobody_known_could_have_signed_is_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = await the_plan()
    own = plan.extensions[0].model_copy(update={"reference": "example.org/own:1"})
    stand_in = Cosign(by_sidero=all_of(plan))
    monkeypatch.setattr(tools, "cosign", lambda: stand_in)
    with pytest.raises(UserError, match=r"example\.org/own:1 is not Sidero Labs' own"):
        await Signers(None, {}).verify(plan.model_copy(update={"extensions": (own, *plan.extensions[1:])}))
    assert stand_in.ran == []


async def test_a_login_goes_to_its_own_registry_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = await the_plan()
    own = plan.extensions[0].model_copy(update={"reference": "registry.example.com:5000/own:1"})
    other = plan.extensions[1].model_copy(update={"reference": "registry.example.com/own:1"})
    plan = plan.model_copy(update={"extensions": (own, other)})
    stand_in = Cosign(by_key=all_of(plan))
    monkeypatch.setattr(tools, "cosign", lambda: stand_in)
    password = cast("dagger.Secret", object())
    await Signers(KEY, {}, Login("registry.example.com:5000", "me", password)).verify(plan)
    told = {reference: login for reference, login in stand_in.logins.items() if login}
    assert told == {cosign.by_digest(own): {cosign.REGISTRY_USERNAME: "me", cosign.REGISTRY_PASSWORD: password}}
