"""Detached signatures: which files get one, with which command, and what cosign is asked about those that are there."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from ci.common.errors import BuildError, UserError
from ci.execute import signed_files, signing, tools
from ci.execute.sealing import BuiltAssets
from ci.execute.signed_files import check_signatures, with_signatures
from ci.execute.signing import Signer
from ci.publish import cosign
from ci.verify.reported import Report, ReportedFile
from tests.unit.engine import exec_error
from tests.unit.planning import plan_of, request

if TYPE_CHECKING:
    import dagger

    from ci.plan.model import Plan

PLACE = "assets/talos/arm64"
SECRET = cast("dagger.Secret", object())
REPORTS = ["checksums.sha256", *(f"validation/build-report.{end}" for end in ("json", "txt", "html"))]


# Which files are signed


@dataclass
class Tree:
    files: dict[str, str] = field(default_factory=dict[str, str])

    def directory(self, path: str) -> str:
        return f"folder {path}"

    def with_new_file(self, path: str, text: str) -> Tree:
        return Tree({**self.files, path: text})


def digest_of(path: str) -> str:
    return path.encode().hex()


def bundle(path: str) -> str:
    digest = {"algorithm": "SHA2_256", "digest": base64.b64encode(path.encode()).decode()}
    return json.dumps({"messageSignature": {"messageDigest": digest, "signature": "c2ln"}})


class FakeSigner:
    def __init__(self) -> None:
        self.signed: list[str] = []

    async def sign_file(self, folder: object, path: str) -> str:
        assert folder == f"folder {PLACE}"
        self.signed.append(path)
        return bundle(path)


async def built(monkeypatch: pytest.MonkeyPatch, plan: Plan, **changes: dict[str, Any]) -> BuiltAssets:
    """Assets with the digests that `bundle` is for; `changes` by the name of an output."""
    files = tuple(
        ReportedFile(path=output.path, kind="kernel", size=7, sha256=digest_of(output.path)).model_copy(
            update=changes.get(output.name, {})
        )
        for output in plan.outputs
    )
    report = Report.model_construct(files=files)

    async def reported(_: BuiltAssets) -> Report:
        return report

    monkeypatch.setattr(BuiltAssets, "report", reported)
    return BuiltAssets(plan, cast("Any", Tree()), PLACE, passed=True)


async def test_outputs_checksums_and_reports_are_signed_next_to_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, signer = await plan_of(request()), FakeSigner()
    signed = await with_signatures(await built(monkeypatch, plan), cast("Signer", signer))
    wanted = [*(output.path for output in plan.outputs), *REPORTS]
    assert (signer.signed, signed.passed, signed.place) == (wanted, True, PLACE)
    assert cast("Any", signed.tree).files == {f"{PLACE}/{path}.sigstore.json": bundle(path) for path in wanted}
    said = capsys.readouterr().err
    assert f"{len(wanted)} files of {PLACE} are signed, each in FILE.sigstore.json; to check one:" in said
    assert "cosign verify-blob --key cosign.pub --insecure-ignore-tlog --bundle FILE.sigstore.json FILE" in said


async def test_a_file_that_cosign_would_hold_in_memory_is_left_to_the_signed_checksums(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, signer = await plan_of(request()), FakeSigner()
    assets = await built(monkeypatch, plan, installer={"size": signed_files.LARGEST + 1})
    await with_signatures(assets, cast("Signer", signer))
    assert signer.signed == [*(one.path for one in plan.outputs if one.name != "installer"), *REPORTS]
    assert "installer/installer-arm64.tar is too large for cosign, which holds a file in memory: " in (
        capsys.readouterr().err
    )


async def test_a_signature_for_other_bytes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assets = await built(monkeypatch, await plan_of(request()), kernel={"sha256": "ab" * 32})
    with pytest.raises(BuildError, match=r"^the signature of boot/vmlinuz is for [0-9a-f]+, the file has (ab){32}\Z"):
        await with_signatures(assets, cast("Signer", FakeSigner()))


# What cosign is asked


@dataclass
class Cosign:
    """A container that writes a bundle, or finds signatures valid but for some files."""

    invalid: frozenset[str] = frozenset()
    error: Exception | None = None
    ran: list[list[str]] = field(default_factory=list[list[str]])
    given: dict[str, object] = field(default_factory=dict[str, object])
    command: list[str] = field(default_factory=list[str])

    def with_directory(self, path: str, content: object, **_: object) -> Cosign:
        return replace(self, given={**self.given, path: content})

    with_mounted_directory = with_mounted_file = with_directory
    with_env_variable = with_secret_variable = with_directory

    def with_exec(self, command: list[str], *, use_entrypoint: bool, expect: object = None) -> Cosign:
        assert use_entrypoint
        self.ran.append(command)
        return replace(self, command=command)

    def file(self, path: str) -> Cosign:
        assert path == self.command[self.command.index("--bundle") + 1]
        return self

    async def contents(self) -> str:
        if self.error:
            raise self.error
        return bundle("x")

    async def exit_code(self) -> int:
        return int(self.command[-1] in self.invalid)

    async def stderr(self) -> str:
        return "Error: invalid signature\nerror during command execution: invalid signature\n"


async def signed_by(monkeypatch: pytest.MonkeyPatch, container: Cosign) -> str:
    monkeypatch.setattr(tools, "cosign", lambda: container)
    monkeypatch.setattr(signing, "dag", Dag())
    return await Signer(SECRET, None).sign_file(cast("dagger.Directory", "assets"), "boot/vmlinuz")


class Dag:
    def directory(self) -> str:
        return "an empty folder"


async def test_a_file_is_signed_with_the_key_and_no_transparency_log(monkeypatch: pytest.MonkeyPatch) -> None:
    container = Cosign()
    assert await signed_by(monkeypatch, container) == bundle("x")
    assert container.ran == [
        [
            *("sign-blob", "--yes", "--key", "env://COSIGN_PRIVATE_KEY", "--bundle", "/out/bundle.json"),
            *("--use-signing-config=false", "--tlog-upload=false", "/in/files/boot/vmlinuz"),
        ]
    ]


async def test_a_key_that_can_not_sign_a_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    container = Cosign(error=exec_error(["cosign"], 1, stderr="error during command execution: decrypt: wrong\n"))
    with pytest.raises(UserError, match=r"cosign can't sign: decrypt: wrong\. Check --sign-key and --sign-password"):
        await signed_by(monkeypatch, container)


class Key:
    def __init__(self, text: str = "-----BEGIN PUBLIC KEY-----\n") -> None:
        self._text = text

    async def contents(self) -> str:
        return self._text


class Folder:
    def __init__(self, *names: str) -> None:
        self._names = names

    async def glob(self, pattern: str) -> list[str]:
        assert pattern == "**/*.sigstore.json"
        return list(self._names)


async def checked(folder: Folder, key: Key | None = None) -> dict[str, str | None]:
    return await check_signatures(cast("dagger.Directory", folder), cast("dagger.File", key or Key()))


async def test_each_file_with_a_signature_is_checked_and_cosigns_reason_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    container = Cosign(frozenset({"/in/files/b"}))
    monkeypatch.setattr(tools, "cosign", lambda: container)
    folder = Folder("b.sigstore.json", "a/x.iso.sigstore.json")
    assert await checked(folder) == {"a/x.iso": None, "b": "invalid signature"}
    assert container.ran[0] == [
        *("verify-blob", "--key", cosign.PUBLIC_KEY, "--insecure-ignore-tlog"),
        *("--bundle", "/in/files/a/x.iso.sigstore.json", "/in/files/a/x.iso"),
    ]


async def test_what_is_no_public_key_and_too_many_signatures_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "cosign", Cosign)
    with pytest.raises(UserError, match=r"--cosign-key: no public key in PEM \(-----BEGIN PUBLIC KEY-----\)"):
        await checked(Folder(), Key("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----"))
    with pytest.raises(UserError, match="201 signatures are in the folder, 200 are checked in one call"):
        await checked(Folder(*(f"{number}.sigstore.json" for number in range(201))))
