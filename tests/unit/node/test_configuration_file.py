"""Users' configurations, read: what they may look like, and that an error has nothing of their content."""

from __future__ import annotations

import pytest

from ci.node.configuration_file import ConfigurationFileError, read_configuration
from tests.unit.node.test_check import SECRET, WORKER, changed, findings, plans, problems

__all__ = ["plans"]


def test_what_talosctl_prints_of_a_node_is_read() -> None:
    inner = "".join(f"    {line}\n" for line in changed(WORKER, "    - name: spl\n", "").splitlines())
    printed = f"node: 10.0.0.5\nmetadata:\n  type: MachineConfigs.config.talos.dev\n  id: v1alpha1\nspec: |\n{inner}"
    (finding,) = findings(printed)
    assert (finding.text, finding.line) == ("kernel module spl is not loaded: zfs is built on it", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"machine: [{SECRET}\n", "a.yaml:2: this is not YAML"),
        (f"machine: {{token: !!binary '{SECRET}'\n", "a.yaml:2: this is not YAML"),
        (f"{{{{ .Values.{SECRET} }}}}\nmachine:\n", "a.yaml:2: this is not YAML"),
        (f"machine: \x07{SECRET}\n", "a.yaml: this is not YAML: it has characters that no text has"),
        (f"machine: {{token: {SECRET}}}\nmachine: {{}}\n", "a.yaml:2: a key is given twice, which Talos refuses"),
        (f"machine: *{SECRET}\n", "a.yaml:1: this is not YAML"),
        (f"- {SECRET}\n", "a.yaml:1: a document is not a mapping"),
        (f"secrets: {SECRET}\n", "a.yaml: this is not a machine configuration: no machine, cluster or kind"),
        ("", "a.yaml: this is not a machine configuration: no machine, cluster or kind"),
        ("a: &a [*a]\nmachine: {}\n", "a.yaml:1: too much in one file (an alias that contains itself?)"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_refused_without_its_content(text: str, message: str) -> None:
    with pytest.raises(ConfigurationFileError) as raised:
        read_configuration("a.yaml", text)
    assert str(raised.value) == message


def test_odd_values_are_texts_and_break_nothing() -> None:
    odd = "machine:\n  type: 2026-13-45\n  kernel: yes\n  install: []\n  sysctls: [a]\n  kubelet: 09\ncluster: 0o9\n"
    assert len(problems(odd)) == 5


def test_names_from_a_file_are_shown_only_where_they_are_names() -> None:
    text = f"{WORKER}---\napiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: tskey-auth-{SECRET}\n"
    assert problems(text)[0].startswith("ExtensionServiceConfig (a name that is not shown): no extension of variant")
