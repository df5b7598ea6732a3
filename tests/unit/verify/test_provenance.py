"""The provenance of assets: every input by digest, every file by digest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ci.common.filenames import PROVENANCE, SIGNATURES
from ci.plan.model import Plan
from ci.report.provenance import package_url
from ci.report.seal import seal
from ci.steps.verify import main
from ci.verify.signatures import render_signatures
from ci.verify.statement import provenance_problems
from ci.verify.verify import verify
from tests.unit.inspect import samples
from tests.unit.verify.assets import build, expectation_of, files_of, good, plan_of, write

if TYPE_CHECKING:
    from pathlib import Path


def statement(root: Path) -> dict[str, Any]:
    build(root, good())
    return json.loads((root / PROVENANCE).read_text())


def test_statement_is_on_every_output_by_digest(tmp_path: Path) -> None:
    found = statement(tmp_path)
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["predicateType"] == "https://slsa.dev/provenance/v1"
    subject = {one["name"]: one["digest"] for one in found["subject"]}
    assert subject == {name: {"sha256": samples.sha(data)} for name, data in files_of(good()).items()}


def test_every_input_is_named_with_its_digest(tmp_path: Path) -> None:
    definition = statement(tmp_path)["predicate"]["buildDefinition"]
    inputs = {one["name"]: one for one in definition["resolvedDependencies"]}
    assert list(inputs) == ["plan", "upstream", "imager", "installer base", "extension spin", "extension drbd"]
    assert inputs["upstream"] == {
        "name": "upstream",
        "uri": "git+https://example.com/cozystack.git",
        "digest": {"gitCommit": "c" * 40},
    }
    assert inputs["extension spin"] == {
        "name": "extension spin",
        "uri": f"pkg:oci/spin@sha256:{10:064x}?repository_url=ghcr.io%2Fsiderolabs%2Fspin&tag=v0.21.0",
        "digest": {"sha256": f"{10:064x}"},
    }
    assert definition["externalParameters"] == {
        "variant": "spin-only",
        "arch": "arm64",
        "upstream": "https://example.com/cozystack.git",
        "release": "v1.6.2",
        "outputs": ["kernel", "initramfs"],
    }


@pytest.mark.parametrize(
    ("reference", "purl"),
    [
        ("docker.io/library/debian:trixie", "pkg:oci/debian@{}?repository_url=docker.io%2Flibrary%2Fdebian&tag=trixie"),
        ("ghcr.io/siderolabs/spin", "pkg:oci/spin@{}?repository_url=ghcr.io%2Fsiderolabs%2Fspin"),
        ("127.0.0.1:5000/team/own", "pkg:oci/own@{}?repository_url=127.0.0.1:5000%2Fteam%2Fown"),
        ("127.0.0.1:5000/own:v1", "pkg:oci/own@{}?repository_url=127.0.0.1:5000%2Fown&tag=v1"),
        ("gcr.io/a/b__c.d-e:V1_0.x", "pkg:oci/b__c.d-e@{}?repository_url=gcr.io%2Fa%2Fb__c.d-e&tag=V1_0.x"),
    ],
)
def test_an_image_is_named_by_its_canonical_package_url(reference: str, purl: str) -> None:
    """As the specification's own tests for the type `oci` have it."""
    digest = f"sha256:{7:064x}"
    assert package_url(reference, digest) == purl.format(digest)


_DIGEST = "98c3" * 16
_SPIN = f"pkg:oci/spin@sha256:{_DIGEST}?repository_url=ghcr.io%2Fsiderolabs%2Fspin"


def problems_of(uri: str) -> list[str]:
    given = {"name": "extension spin", "uri": uri, "digest": {"sha256": _DIGEST}}
    inputs = {"buildDefinition": {"resolvedDependencies": [given]}}
    return list(provenance_problems(json.dumps({"subject": [], "predicate": inputs}), {}, None))


@pytest.mark.parametrize(
    "uri",
    [
        _SPIN,
        f"{_SPIN}&tag=v0.21.0",
        f"pkg:oci/own@sha256:{_DIGEST}?repository_url=127.0.0.1:5000%2Fteam%2Fown",
        # Not canonical, but it names the image: what an earlier version wrote, and what other tools write.
        f"pkg:oci/spin@sha256%3A{_DIGEST}?repository_url=ghcr.io/siderolabs/spin&tag=v0.21.0",
        "file:spin.tar",
        "git+https://example.com/cozystack.git",
    ],
)
def test_the_place_of_an_input_is_accepted(uri: str) -> None:
    assert problems_of(uri) == []


@pytest.mark.parametrize(
    "uri",
    [
        f"pkg:oci/@sha256%3A{_DIGEST}?repository_url=&tag=ghcr.io%2Fsiderolabs%2Fspin",
        f"pkg:oci/registry.example@sha256:{_DIGEST}?repository_url=registry.example&tag=5000%2Fteam%2Fown",
        f"{_SPIN}&tag=team%2Fown",
        f"{_SPIN}&tag=",
        f"quay.io/poseidon/matchbox:v0.11.0@sha256:{_DIGEST}",
        f"pkg:oci/spin@sha256:{_DIGEST}",
        _SPIN.replace("oci/spin", "oci/drbd"),
        _SPIN.replace("98c3", "98c4"),
        _SPIN.replace("pkg:oci", "pkg:docker"),
        "",
    ],
)
def test_an_input_that_its_package_url_does_not_name_is_a_problem(uri: str) -> None:
    place = repr(uri)
    assert problems_of(uri) == [f"{PROVENANCE}: the input extension spin has no package URL of its digest: {place}"]


def test_a_false_package_url_fails_the_check(tmp_path: Path) -> None:
    expectation = build(tmp_path, good())
    text = (tmp_path / PROVENANCE).read_text()
    assert "pkg:oci/spin@" in text
    (tmp_path / PROVENANCE).write_text(text.replace("pkg:oci/spin@", "pkg:oci/@"))
    check = next(check for check in verify(tmp_path, expectation).failures if check.id == "provenance.agrees")
    assert "the input extension spin has no package URL" in check.evidence[0]


def test_an_input_says_who_signed_it(tmp_path: Path) -> None:
    pinned = f"ghcr.io/siderolabs/spin:v0.21.0@sha256:{10:064x}"
    write(tmp_path, {SIGNATURES: render_signatures({pinned: "Sidero Labs"}).encode()})
    inputs = statement(tmp_path)["predicate"]["buildDefinition"]["resolvedDependencies"]
    told = {one["name"]: one["annotations"] for one in inputs if "annotations" in one}
    assert told == {"extension spin": {"signedBy": "Sidero Labs"}}


def test_checkout_given_as_a_folder_has_a_commit_but_no_address(tmp_path: Path) -> None:
    spec = good()
    plan = plan_of(spec)
    plan["origin"] = {"where": "given as --upstream", "release": None, "commit": "d" * 40}
    write(tmp_path, files_of(spec))
    seal(tmp_path, expectation_of(spec), Plan.model_validate(plan))
    inputs = json.loads((tmp_path / PROVENANCE).read_text())["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert inputs[1] == {"name": "upstream", "digest": {"gitCommit": "d" * 40}}


@pytest.mark.parametrize("change", [{"imagerr": {}}, {"sourceDate": None}, {"extensions": "none"}])
def test_a_plan_that_cannot_be_read_seals_nothing(
    tmp_path: Path, change: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Else there would be a build without provenance that passes all of its checks."""
    spec = good()
    root = tmp_path / "assets"
    write(root, files_of(spec))
    plan, expected = tmp_path / "plan.json", tmp_path / "expected.json"
    plan.write_text(json.dumps(plan_of(spec) | change))
    expected.write_text(expectation_of(spec).model_dump_json())
    arguments = ["seal", "--assets", str(root), "--expect", str(expected), "--plan", str(plan)]
    assert main(arguments) == 2
    assert f"error: {plan}: not a plan: " in capsys.readouterr().err
    assert not (root / PROVENANCE).exists()


def test_planned_assets_without_provenance_fail(tmp_path: Path) -> None:
    expectation = build(tmp_path, good())
    (tmp_path / PROVENANCE).unlink()
    failures = {check.id: check.evidence for check in verify(tmp_path, expectation).failures}
    assert failures["provenance.agrees"] == (f"{PROVENANCE} is missing",)
