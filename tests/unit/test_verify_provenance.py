"""The provenance of assets: every input by digest, every file by digest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ci.verify import seal, verify
from ci.verify.planned import plan_id, read_plan
from ci.verify.provenance import PROVENANCE, package_url, provenance_problems
from ci.verify.signatures import SIGNATURES, render_signatures
from tests.unit.inspect import samples
from tests.unit.planning import plan_of as make_plan
from tests.unit.planning import request
from tests.unit.verify_assets import build, expectation_of, files_of, good, plan_of, write

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
    seal(tmp_path, expectation_of(spec), plan)
    inputs = json.loads((tmp_path / PROVENANCE).read_text())["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert inputs[1] == {"name": "upstream", "digest": {"gitCommit": "d" * 40}}


async def test_what_is_told_of_a_plan_is_in_every_plan() -> None:
    """Else statement and report would say nothing, without a word."""
    plan = await make_plan(request("spin-tailscale"))
    document = json.loads(plan.to_json())
    read = read_plan(document)
    assert read is not None
    assert plan_id(document) == plan.id
    assert [entry.reason for entry in read.extensions] == [entry.reason for entry in plan.extensions]
    assert [entry.reason for entry in read.dropped] == [entry.reason for entry in plan.dropped]
    assert read.has_initramfs is plan.builds_initramfs is True
    assert (read.source_date.epoch, read.source_date.source) == (plan.source_date.epoch, plan.source_date.source)
    kernel = await make_plan(request("spin-tailscale", outputs=("kernel",)))
    read = read_plan(json.loads(kernel.to_json()))
    assert read is not None
    assert read.has_initramfs is kernel.builds_initramfs is False


def test_without_a_plan_there_is_no_statement(tmp_path: Path) -> None:
    spec = good()
    write(tmp_path, files_of(spec))
    assert seal(tmp_path, expectation_of(spec)).ok
    assert not (tmp_path / PROVENANCE).exists()
