"""Folders with detached signatures next to their files: what is taken for one, and what a key's absence leaves open."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from ci.common.filenames import BUNDLE, CHECKSUMS, REPORT, REPORT_PAGE, REPORT_TEXT, UNLISTED
from ci.steps.verify import main
from ci.verify.checks_signatures import signed_digest
from ci.verify.verify import verify
from tests.unit.inspect import samples
from tests.unit.verify.assets import NOT_HERE, build, expectation_of, good

if TYPE_CHECKING:
    from pathlib import Path

OUTPUTS = tuple(sorted(expectation_of(good()).files or ()))
KERNEL = "boot/vmlinuz"
#: A file alone, which takes no time to look at.
LINE, TEXT = "cmdline", b"talos.platform=metal console=ttyAMA0 console=tty0 init_on_alloc=1 slab_nomerge pti=on"


def bundle(digest: str, **message: Any) -> str:
    """A bundle as `cosign sign-blob --key` writes it without a transparency log."""
    sha256 = base64.b64encode(bytes.fromhex(digest)).decode()
    signature = {"messageDigest": {"algorithm": "SHA2_256", "digest": sha256}, "signature": "MEUCIQ==", **message}
    return json.dumps(
        {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": "aGludA=="}},
            "messageSignature": signature,
        }
    )


def sign(root: Path, *paths: str) -> None:
    for path in paths:
        (root / (path + BUNDLE)).write_text(bundle(samples.sha((root / path).read_bytes())))


def signed(root: Path) -> dict[str, str | None]:
    """Assets as `build` signs them, and what cosign says of them."""
    build(root, good())
    sign(root, *OUTPUTS, *UNLISTED)
    return dict.fromkeys((*OUTPUTS, *UNLISTED))


def failures(root: Path, answers: dict[str, str | None] | None = None) -> dict[str, tuple[str, ...]]:
    return {check.id: check.evidence for check in verify(root, expectation_of(good()), answers).failures}


def test_signed_assets_pass_every_check_and_the_list_of_checksums_does_not_have_the_signatures(tmp_path: Path) -> None:
    answers = signed(tmp_path)
    result = verify(tmp_path, expectation_of(good()), answers)
    assert result.failures == ()
    assert {check.id for check in result.checks if check.status == "skip"} <= NOT_HERE - {"signatures.files"}
    assert BUNDLE not in (tmp_path / CHECKSUMS).read_text()
    assert BUNDLE not in (tmp_path / REPORT).read_text()


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        (bundle("ab" * 32), f"{LINE}{BUNDLE} is for a file of {'ab' * 32}, {LINE} has {samples.sha(TEXT)}"),
        ("a word", f"{LINE}{BUNDLE}: Expecting value: line 1 column 1 (char 0)"),
        ("[]", f"{LINE}{BUNDLE}: no Sigstore bundle with the signature of a file"),
        ('{"dsseEnvelope": {}}', f"{LINE}{BUNDLE}: no Sigstore bundle with the signature of a file"),
        ("[" * 100_000, f"{LINE}{BUNDLE}: no Sigstore bundle with the signature of a file"),
        (bundle("ab", signature=""), f"{LINE}{BUNDLE}: no Sigstore bundle with the signature of a file"),
        (
            bundle("", messageDigest={"algorithm": "SHA2_384", "digest": ""}),
            f"{LINE}{BUNDLE}: a digest of the kind SHA2_384, SHA2_256 is wanted",
        ),
    ],
    ids=range(7),
)
def test_a_bundle_is_for_the_file_next_to_it(tmp_path: Path, text: str, evidence: str) -> None:
    (tmp_path / LINE).write_bytes(TEXT)
    sign(tmp_path, LINE)
    assert verify(tmp_path).failures == ()
    (tmp_path / (LINE + BUNDLE)).write_text(text)
    (check,) = verify(tmp_path).failures
    assert (check.id, check.evidence) == ("signatures.files", (evidence,))


def test_the_signature_of_a_file_that_is_not_there_is_one_file_too_many(tmp_path: Path) -> None:
    signed(tmp_path)
    (tmp_path / f"boot/gone{BUNDLE}").write_text(bundle("ab" * 32))
    found = failures(tmp_path)
    assert set(found) == {"signatures.files", "layout.nothing-else", "checksums.complete", "report.agrees"}
    assert found["signatures.files"] == (f"boot/gone{BUNDLE} is the signature of a file that is not there",)
    assert found["layout.nothing-else"] == (f"boot/gone{BUNDLE} is not in the plan",)


def test_a_file_that_the_key_did_not_sign_is_named_with_the_reason(tmp_path: Path) -> None:
    answers = signed(tmp_path) | {KERNEL: "invalid signature"}
    assert failures(tmp_path, answers) == {"signatures.key": (f"{KERNEL}: invalid signature",)}


def test_a_signed_list_of_checksums_speaks_for_the_files_in_it_and_for_no_others(tmp_path: Path) -> None:
    build(tmp_path, good())
    sign(tmp_path, CHECKSUMS)
    assert failures(tmp_path, {CHECKSUMS: None}) == {
        "signatures.key": tuple(
            f"{path} is not signed, and in no list of checksums that is"
            for path in sorted((REPORT, REPORT_PAGE, REPORT_TEXT))
        )
    }


def test_without_a_signed_list_every_file_has_to_be_signed(tmp_path: Path) -> None:
    answers = signed(tmp_path)
    del answers[CHECKSUMS]
    (tmp_path / (CHECKSUMS + BUNDLE)).unlink()
    (evidence,) = failures(tmp_path, answers).values()
    assert [line.partition(" ")[0] for line in evidence] == [
        CHECKSUMS, "validation/provenance.json", "validation/sbom.spdx.json"
    ]  # fmt: skip


def test_nothing_that_is_signed_is_nothing_with_a_key(tmp_path: Path) -> None:
    (tmp_path / LINE).write_bytes(TEXT)
    (check,) = verify(tmp_path, signed={}).failures
    assert check.evidence == (f"{LINE} is not signed, and in no list of checksums that is",)


def test_a_signed_list_has_to_be_true(tmp_path: Path) -> None:
    (tmp_path / LINE).write_bytes(TEXT)
    (tmp_path / CHECKSUMS).write_text(f"{samples.sha(TEXT)}  {LINE}\n")
    sign(tmp_path, CHECKSUMS)
    assert verify(tmp_path, signed={CHECKSUMS: None}).failures == ()
    (tmp_path / LINE).write_bytes(TEXT + b" panic=1")
    assert [check.id for check in verify(tmp_path, signed={CHECKSUMS: None}).failures] == ["checksums.true"]


def test_the_program_finds_answers_below_the_folder_that_it_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, place = tmp_path / "out/assets/talos/arm64", "assets/talos/arm64"
    (root / "boot").mkdir(parents=True)
    (root / LINE).write_bytes(TEXT)
    told = tmp_path / "signed.json"
    arguments = ["check", "--assets", str(tmp_path / "out"), "--signed", str(told), "--format", "json"]
    for reason, status in ((None, "pass"), ("invalid signature", "fail")):
        told.write_text(json.dumps({f"{place}/{LINE}": reason, "elsewhere/x": "invalid"}))
        assert main(arguments) == (0 if reason is None else 1)
        (check,) = (one for one in json.loads(capsys.readouterr().out)["checks"] if one["id"] == "signatures.key")
        assert check["status"] == status


def test_a_bundle_names_the_digest_of_its_file() -> None:
    assert signed_digest(bundle("cd" * 32)) == "cd" * 32
