"""Names, versions and authors of a manifest have a grammar: they go into tables, file names and profiles."""

from __future__ import annotations

import pytest

from ci.inspect.errors import InspectError
from ci.inspect.manifest import parse_layers, parse_manifest


def manifest(**metadata: str) -> bytes:
    lines = "".join(f"  {key}: {value}\n" for key, value in metadata.items())
    return f"version: v1alpha1\nmetadata:\n{lines}".encode()


@pytest.mark.parametrize("name", ["spin", "modules.dep", "nvidia-container-toolkit-lts", "v4l2", "a_b+c", "X1"])
@pytest.mark.parametrize("version", ["v0.21.0", "20250808", "1.0.0-v1.13.6", "6.18.38-talos", "2:1.0~rc1", "a b"])
def test_real_names_and_versions_are_read(name: str, version: str) -> None:
    found = parse_manifest("a.tar:/manifest.yaml", manifest(name=name, version=f"'{version}'")).metadata
    assert (found.name, found.version) == (name, version)


@pytest.mark.parametrize(
    "name", ["../../evil", "a/b", "..", ".hidden", "-flag", r'"a\nb"', r'"a\e[31m"', "''", "a b", '"a\\u202eb"', "é"]
)
def test_a_name_that_is_not_one_is_refused(name: str) -> None:
    with pytest.raises(InspectError, match=r"^a\.tar:/manifest\.yaml.*metadata\.name"):
        parse_manifest("a.tar:/manifest.yaml", manifest(name=name, version="v1"))


@pytest.mark.parametrize("text", [r'"1.0\n\e[31mX"', r'"1\u202e0"', r'"1\r0"', r'"1\u20280"', r'"\x07"'])
@pytest.mark.parametrize("field", ["version", "author"])
def test_a_version_or_author_that_breaks_a_line_is_refused(field: str, text: str) -> None:
    fields = {"name": "spin", "version": "v1", field: text}
    with pytest.raises(InspectError, match=rf"metadata\.{field}"):
        parse_manifest("a.tar:/manifest.yaml", manifest(**fields))


def test_the_same_goes_for_the_layers_of_an_initramfs() -> None:
    text = b'layers:\n- image: 0.sqsh\n  metadata: {name: "../x", version: v1}\n'
    with pytest.raises(InspectError, match=r"name"):
        parse_layers("extensions.yaml", text)
