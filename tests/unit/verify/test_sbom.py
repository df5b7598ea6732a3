"""The SBOM of assets: complete, merged from the extensions' own documents, valid SPDX 2.3."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ci.common.filenames import SBOM
from ci.report.sbom import make_sbom
from ci.steps.verify import main
from ci.verify.assets import read_assets
from ci.verify.verify import verify
from tests.unit.inspect.samples import File
from tests.unit.verify.assets import Spec, build, drbd, expectation_of, files_of, good, plan_of, spin, write

if TYPE_CHECKING:
    from pathlib import Path


def package(identifier: str, name: str, licence: str = "Apache-2.0") -> dict[str, Any]:
    return {
        "SPDXID": identifier,
        "name": name,
        "versionInfo": "1.0",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": licence,
        "licenseDeclared": licence,
        "copyrightText": "NOASSERTION",
    }


def document(name: str, relationships: list[tuple[str, str, str]] | None = None) -> bytes:
    licence = "MIT AND LicenseRef-own"
    relations = relationships or [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-main")]
    return json.dumps(
        {
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": "SPDXRef-DOCUMENT",
            "name": name,
            "documentNamespace": f"https://example.com/{name}",
            "creationInfo": {"created": "2026-01-01T00:00:00Z", "creators": ["Tool: other"]},
            "packages": [package("SPDXRef-main", name, licence), package("SPDXRef-part", "part")],
            "hasExtractedLicensingInfos": [{"licenseId": "LicenseRef-own", "extractedText": "do as you like"}],
            "relationships": [
                {"spdxElementId": a, "relationshipType": kind, "relatedSpdxElement": b}
                for a, kind, b in [*relations, ("SPDXRef-main", "DEPENDS_ON", "SPDXRef-part")]
            ],
        }
    ).encode()


def with_documents(*documents: tuple[str, bytes]) -> Spec:
    def add(extension: Any, name: str, text: bytes) -> Any:
        return replace(extension, files=[*extension.files, File(f"usr/local/share/spdx/{name}.spdx.json", text)])

    first, second = spin(), drbd()
    for name, text in documents:
        first = add(first, name, text) if name != "drbd" else first
        second = add(second, name, text) if name == "drbd" else second
    return replace(good(), extensions=[first, second])


def sbom(root: Path) -> dict[str, Any]:
    return json.loads((root / SBOM).read_text())


def relations(found: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(r["spdxElementId"], r["relationshipType"], r["relatedSpdxElement"]) for r in found["relationships"]}


def test_sbom_names_talos_kernel_and_every_extension_even_without_documents(tmp_path: Path) -> None:
    build(tmp_path, good())
    found = sbom(tmp_path)
    named = {(entry["name"], entry.get("versionInfo")) for entry in found["packages"]}
    assert named == {
        ("talos-assets-spin-only-arm64", "v1.13.6"),
        ("talos", "v1.13.6"),
        ("linux", "6.18.38-talos"),
        ("spin", "v0.21.0"),
        ("drbd", "9.3.2-v1.13.6"),
    }
    assert found["spdxVersion"] == "SPDX-2.3"
    assert ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Package-assets") in relations(found)
    assert ("SPDXRef-Package-assets", "CONTAINS", "SPDXRef-Extension-0-spin") in relations(found)


def test_documents_of_two_extensions_merge_without_their_identifiers_clashing(tmp_path: Path) -> None:
    build(tmp_path, with_documents(("spin", document("shim")), ("drbd", document("module"))))
    found = sbom(tmp_path)
    identifiers = [entry["SPDXID"] for entry in found["packages"]]
    assert len(identifiers) == len(set(identifiers)) == 9
    shim = next(entry for entry in found["packages"] if entry["name"] == "shim")
    assert shim["SPDXID"] == "SPDXRef-Extension-0-spin-spin-main"
    assert shim["licenseConcluded"] == "MIT AND LicenseRef-Extension-0-spin-spin-own"
    assert {one["licenseId"] for one in found["hasExtractedLicensingInfos"]} == {
        "LicenseRef-Extension-0-spin-spin-own",
        "LicenseRef-Extension-1-drbd-drbd-own",
    }
    assert ("SPDXRef-Extension-0-spin", "CONTAINS", shim["SPDXID"]) in relations(found)
    assert (shim["SPDXID"], "DEPENDS_ON", "SPDXRef-Extension-0-spin-spin-part") in relations(found)


def test_documents_of_one_name_in_two_folders_of_an_extension_do_not_clash(tmp_path: Path) -> None:
    first, second = with_documents(("one", document("shim"))).extensions
    files = [*first.files, File("usr/share/spdx/one.spdx.json", document("other"))]
    build(tmp_path, replace(good(), extensions=[replace(first, files=files), second]))
    identifiers = [entry["SPDXID"] for entry in sbom(tmp_path)["packages"]]
    assert len(identifiers) == len(set(identifiers)) == 9


def test_a_documents_name_and_an_identifier_in_it_do_not_run_into_each_other(tmp_path: Path) -> None:
    """`one` with `x-main` in it is not `one-x` with `main` in it."""
    text = document("shim").replace(b"SPDXRef-main", b"SPDXRef-x-main").replace(b"Ref-own", b"Ref-x-own")
    build(tmp_path, with_documents(("one", text), ("one-x", document("other"))))
    found = sbom(tmp_path)
    identifiers = [entry["SPDXID"] for entry in found["packages"]]
    licences = [entry["licenseId"] for entry in found["hasExtractedLicensingInfos"]]
    assert len(identifiers) == len(set(identifiers)) == 9
    assert len(licences) == len(set(licences)) == 2
    assert "SPDXRef-Extension-0-spin-one.x-main" in identifiers


@pytest.mark.parametrize(
    ("key", "added"),
    [
        ("packages", [{"SPDXID": "SPDXRef-a", "name": "a"}, {"SPDXID": "SPDXRef-a", "name": "b"}]),
        ("packages", [{"SPDXID": "SPDXRef-DOCUMENT", "name": "a"}]),
        ("files", [{"SPDXID": "SPDXRef-a", "fileName": "a"}, {"SPDXID": "SPDXRef-a", "fileName": "b"}]),
        ("files", [{"SPDXID": "SPDXRef-Package-talos", "fileName": "a"}]),
        ("snippets", [{"SPDXID": "SPDXRef-Package-talos", "name": "a"}]),
    ],
)
def test_an_identifier_that_is_there_twice_fails_the_check(
    tmp_path: Path, key: str, added: list[dict[str, Any]]
) -> None:
    build(tmp_path, good())
    found = sbom(tmp_path)
    found.setdefault(key, []).extend(added)
    (tmp_path / SBOM).write_text(json.dumps(found))
    check = next(check for check in verify(tmp_path).checks if check.id == "sbom.complete")
    assert list(check.evidence) == [f"{SBOM}: no SPDX document: {added[0]['SPDXID']} is there twice"]


def test_a_part_without_an_identifier_fails_the_check_and_names_its_place(tmp_path: Path) -> None:
    text = json.loads(document("shim"))
    del text["packages"][1]["SPDXID"]
    spec = with_documents(("spin", json.dumps(text).encode()))
    build(tmp_path, spec)
    failures = verify(tmp_path, expectation_of(spec)).failures
    place = "boot/initramfs.xz:0.sqsh:/usr/local/share/spdx/spin.spdx.json"
    assert [(check.id, list(check.evidence)) for check in failures] == [
        ("sbom.complete", [f"{place}: packages[1] has no SPDXID"])
    ]


def test_another_document_has_another_namespace(tmp_path: Path) -> None:
    spaces: set[str] = set()
    for name, variant in (("a", "spin-only"), ("b", "spin-only"), ("c", "edge")):
        expectation = expectation_of(good()).model_copy(update={"variant": variant})
        build(tmp_path / name, good(), expectation)
        spaces.add(sbom(tmp_path / name)["documentNamespace"])
    assert len(spaces) == 2


@pytest.mark.parametrize("changed", ["talos", "epoch"])
def test_the_namespace_follows_from_all_that_the_document_says(tmp_path: Path, changed: str) -> None:
    """The version and the time stand in no file that the document is about."""
    build(tmp_path, good())
    expectation, assets = expectation_of(good()), read_assets(tmp_path)
    other = expectation.model_copy(update={"talos": "v1.13.7"}) if changed == "talos" else expectation
    made = [
        make_sbom(assets, one, epoch).document
        for one, epoch in ((expectation, 1), (expectation, 1), (other, 2 if changed == "epoch" else 1))
    ]
    assert made[0] == made[1] != made[2]
    assert made[0]["documentNamespace"] != made[2]["documentNamespace"]


def test_described_by_is_the_inverse_of_describes(tmp_path: Path) -> None:
    described = [("SPDXRef-main", "DESCRIBED_BY", "SPDXRef-DOCUMENT")]
    build(tmp_path, with_documents(("spin", document("shim", described))))
    found = relations(sbom(tmp_path))
    assert ("SPDXRef-Extension-0-spin", "CONTAINS", "SPDXRef-Extension-0-spin-spin-main") in found
    assert not any(kind == "DESCRIBED_BY" for _, kind, _ in found)
    assert ("SPDXRef-Extension-0-spin", "CONTAINS", "SPDXRef-Extension-0-spin-spin-part") not in found


def test_relationship_to_another_document_is_left_out(tmp_path: Path) -> None:
    elsewhere = [("SPDXRef-main", "DEPENDS_ON", "DocumentRef-other:SPDXRef-x"), ("SPDXRef-gone", "CONTAINS", "NONE")]
    build(tmp_path, with_documents(("spin", document("shim", elsewhere))))
    ends = {end for one in relations(sbom(tmp_path)) for end in (one[0], one[2])}
    assert not any("DocumentRef" in end or "gone" in end for end in ends)


def test_sbom_is_valid_by_the_specifications_own_tools(tmp_path: Path) -> None:
    parse_anything = pytest.importorskip("spdx_tools.spdx.parser.parse_anything")
    validator = pytest.importorskip("spdx_tools.spdx.validation.document_validator")
    build(tmp_path, with_documents(("spin", document("shim")), ("drbd", document("module"))))
    parsed = parse_anything.parse_file(str(tmp_path / SBOM))
    assert validator.validate_full_spdx_document(parsed) == []


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"spdxVersion": "SPDX-3.0"}', b"\xff"])
def test_a_document_that_is_none_fails_the_check_and_names_its_place(tmp_path: Path, text: bytes) -> None:
    spec = with_documents(("spin", text))
    build(tmp_path, spec)
    failures = verify(tmp_path, expectation_of(spec)).failures
    assert [check.id for check in failures] == ["sbom.complete"]
    assert "boot/initramfs.xz:0.sqsh:/usr/local/share/spdx/spin.spdx.json" in failures[0].evidence[0]


def test_time_of_the_sbom_is_the_plans(tmp_path: Path) -> None:
    spec = good()
    write(tmp_path / "assets", files_of(spec))
    (tmp_path / "expect.json").write_text(expectation_of(spec).model_dump_json())
    plan = plan_of(spec) | {"sourceDate": {"epoch": 1735689600, "source": "given"}}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    command = ["seal", "--assets", str(tmp_path / "assets"), "--expect", str(tmp_path / "expect.json")]
    assert main([*command, "--plan", str(tmp_path / "plan.json")]) == 0
    assert sbom(tmp_path / "assets")["creationInfo"]["created"] == "2025-01-01T00:00:00Z"
    (tmp_path / "plan.json").write_text(json.dumps(plan | {"sourceDate": {"epoch": 0, "source": "given"}}))
    assert main([*command, "--plan", str(tmp_path / "plan.json")]) == 0
    assert sbom(tmp_path / "assets")["creationInfo"]["created"] == "1970-01-01T00:00:00Z"
