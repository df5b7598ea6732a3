"""Variant files: those of the project, and every way to get one wrong."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from ci.common.arch import Arch
from ci.common.errors import UserError, VariantError
from ci.load.meta import Meta
from ci.load.variant import BUILTIN, AddedExtension, DroppedExtension, load_variants, parse_variant, read_variants

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "sha256:" + "0123456789abcdef" * 4
OWN = f"ghcr.io/me/mine:v1@{DIGEST}"
ADD = ":4: extensions.add[0]"
HEAD = "description: for tests\nrole: test\n"


def refusal(text: str) -> str:
    with pytest.raises(VariantError) as raised:
        parse_variant("variants/mine.yaml", text)
    return str(raised.value)


def test_the_projects_variants_are_these() -> None:
    variants = read_variants(BUILTIN)
    assert variants.names == ("spin-only", "spin-tailscale")
    assert {v.name: [entry.name for entry in v.spec.extensions.add] for v in variants} == {
        "spin-only": ["spin"],
        "spin-tailscale": ["spin", "tailscale"],
    }
    assert variants.get("tailscale+spin") is variants.get("spin-tailscale")


def test_a_worker_must_have_no_trace_of_tailscale() -> None:
    assert read_variants(BUILTIN).get("spin-only").spec.absent == ("tailscale",)


@pytest.mark.parametrize("name", ["spin-only", "spin-tailscale"])
def test_every_variant_says_what_the_extensions_wait_for(name: str) -> None:
    configuration = read_variants(BUILTIN).get(name).spec.configuration
    assert {module.name: module.parameters for module in configuration.kernel_modules} == {
        "zfs": (),
        "spl": (),
        "drbd": ("usermode_helper=disabled",),
        "openvswitch": (),
    }
    assert [(runtime.name, runtime.handler) for runtime in configuration.runtime_classes] == [
        ("wasmtime-spin-v2", "spin")
    ]


def test_tailscales_key_is_required_and_secret() -> None:
    (service,) = read_variants(BUILTIN).get("spin-tailscale").spec.configuration.extension_services
    assert service.name == "tailscale"
    key = service.environment[0]
    assert (key.name, key.required, key.secret) == ("TS_AUTHKEY", True, True)
    assert [variable.name for variable in service.environment] == [
        "TS_AUTHKEY", "TS_ROUTES", "TS_HOSTNAME", "TS_EXTRA_ARGS", "TS_AUTH_ONCE",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("edge", "edge"),
        ("edge.yaml", "edge"),
        ("mine/Edge.yml", "edge"),
        ("gpu_node", "gpu-node"),
        ("1st", "st"),
        ("", "NAME"),
    ],
)
def test_an_unknown_variant_is_answered_with_the_known_ones_and_the_file_to_add(name: str, file: str) -> None:
    with pytest.raises(UserError) as raised:
        read_variants(BUILTIN).get(name)
    assert str(raised.value) == (
        f"unknown variant {name!r}: choose one of spin-only, spin-tailscale, or add variants/{file}.yaml"
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("spin_only", "spin-only"),
        ("Spin-Only", "spin-only"),
        ("spin-only.yaml", "spin-only"),
        ("variants/spin-tailscale.yml", "spin-tailscale"),
        ("spin+tailscale", "spin-tailscale"),
        ("tailscale-spin", "tailscale+spin"),
    ],
)
def test_a_variant_that_is_nearly_one_is_answered_with_that_and_no_file_to_add(name: str, meant: str) -> None:
    with pytest.raises(UserError) as raised:
        read_variants(BUILTIN).get(name)
    assert str(raised.value) == f"unknown variant {name!r}: did you mean {meant}?"


def test_a_whole_file_is_read() -> None:
    variant = parse_variant(
        "variants/mine.yaml",
        f"""
description: A GPU node
role: worker
aliases: [gpu+spin]
architectures: [amd64]
extensions:
  add:
    - spin
    - tailscale:1.98.1
    - {OWN}
    - {{name: qemu-guest-agent, version: "10.1", reason: runs in a VM}}
    - {{name: other, reference: "{OWN}"}}
    - {{reference: "ghcr.io/me/named:v1@{DIGEST}", reason: home-made}}
  drop:
    - name: zfs
      reason: no pools here
extraKernelArgs: [net.ifnames=0, -selinux]
meta:
  - {{key: 0xa, value: hello}}
absent: [i915]
""",
    )
    assert (variant.name, variant.file) == ("mine", "variants/mine.yaml")
    spec = variant.spec
    assert (spec.description, spec.role, spec.aliases) == ("A GPU node", "worker", ("gpu+spin",))
    assert spec.architectures == (Arch.AMD64,)
    assert spec.extensions.add == (
        AddedExtension(name="spin"),
        AddedExtension(name="tailscale", version="1.98.1"),
        AddedExtension(name="mine", reference=OWN),
        AddedExtension(name="qemu-guest-agent", version="10.1", reason="runs in a VM"),
        AddedExtension(name="other", reference=OWN),
        AddedExtension(name="named", reference=f"ghcr.io/me/named:v1@{DIGEST}", reason="home-made"),
    )
    assert spec.extensions.drop == (DroppedExtension(name="zfs", reason="no pools here"),)
    assert spec.extra_kernel_args == ("net.ifnames=0", "-selinux")
    assert spec.meta == (Meta(key=0xA, value="hello"),)
    assert spec.absent == ("i915",)


def test_what_is_left_out_has_defaults() -> None:
    spec = parse_variant("mine.yaml", HEAD).spec
    assert spec.architectures == (Arch.ARM64, Arch.AMD64)
    assert (spec.extensions.add, spec.extensions.drop, spec.aliases, spec.extra_kernel_args, spec.meta) == ((),) * 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # YAML
        ("", ": the file is empty"),
        ("# nothing\n", ": the file is empty"),
        ("- spin\n", ":1: a mapping is expected, not a list"),
        ("spin\n", ":1: a mapping is expected, not 'spin'"),
        ("role: [x\n", ":2: not YAML: while parsing a flow sequence expected ',' or ']', but got '<stream end>'"),
        (f"{HEAD}\tx: 1\n",
         ":3: not YAML: while scanning for the next token found character '\\t' that cannot start any token"),
        (f"{HEAD}x: !!python/object:os.system {{}}\n",
         (":3: unknown key 'x': choose one of description, role, aliases, "
         "architectures, extensions, overlay, extraKernelArgs, meta, absent, configuration")),
        (f"{HEAD}---\n{HEAD}", ":3: not YAML: expected a single document in the stream but found another document"),
        (f"{HEAD}role: again\n", ":3: key 'role' is given twice (first on line 2)"),
        (f"{HEAD}? [a, b]\n: c\n", ":3: only plain words can be keys here"),
        (f"{HEAD}meta: &a [*a]\n", ":3: too much in one file (an alias that contains itself?)"),
        (f"{HEAD}x: \x00\n", ":3: not YAML: special characters are not allowed (U+0000)"),
        # keys
        ("description: for tests\n", ":1: 'role' is missing"),
        ("descripton: for tests\nrole: test\n", ":1: unknown key 'descripton': did you mean description?"),
        (f"{HEAD}extension: {{}}\n", ":3: unknown key 'extension': did you mean extensions?"),
        (f"{HEAD}extensions:\n  ad: [spin]\n", ":4: unknown key 'extensions.ad': did you mean add?"),
        (f"{HEAD}extensions:\n  remove: [spin]\n", ":4: unknown key 'extensions.remove': choose one of add, drop"),
        (f"{HEAD}extra_kernel_args: [x]\n", ":3: unknown key 'extra_kernel_args': did you mean extraKernelArgs?"),
        (f"{HEAD}extensions:\n  add:\n    - name: spin\n      reson: x\n",
         ":6: unknown key 'extensions.add[0].reson': did you mean reason?"),
        (f"{HEAD}configuration:\n  kernelModules:\n    - name: zfs\n      parameter: x\n",
         ":6: unknown key 'configuration.kernelModules[0].parameter': did you mean parameters?"),
        (f"{HEAD}name: other\n", (":3: unknown key 'name': choose one of description, role, aliases, architectures, "
         "extensions, overlay, extraKernelArgs, meta, absent, configuration")),
        # values
        ("description: 1\nrole: test\n", ":1: description: a text is expected, not 1"),
        ("description: ''\nrole: test\n", ":1: description: some text is expected, not ''"),
        (f"{HEAD}extensions: [spin]\n", ":3: extensions: a mapping is expected, not a list"),
        (f"{HEAD}extensions:\n", ":3: extensions: a mapping is expected, not nothing"),
        (f"{HEAD}aliases: spin\n", ":3: aliases: a list is expected, not 'spin'"),
        (f"{HEAD}aliases: [Spin]\n", ":3: bad alias 'Spin': a-z first, then a-z, 0-9, - and +"),
        # extensions
        (f"{HEAD}extensions:\n  add: [5]\n",
         ":4: extensions.add[0]: write a name, name:version, reference@digest or a mapping, not 5"),
        (f"{HEAD}extensions:\n  add: [Spin]\n",
         f"{ADD}: bad extension 'Spin': write a name, name:version, or registry/path:tag@sha256:digest"),
        (f"{HEAD}extensions:\n  add: ['spin:']\n",
         f"{ADD}: bad extension 'spin:': write a name, name:version, or registry/path:tag@sha256:digest"),
        (f"{HEAD}extensions:\n  add: [siderolabs/spin]\n",
         f"{ADD}: 'siderolabs/spin' has no digest: write spin for the extension of the catalog"),
        (f"{HEAD}extensions:\n  add: ['siderolabs/spin:v0.19.0']\n",
         f"{ADD}: 'siderolabs/spin:v0.19.0' has no digest: write spin:v0.19.0 for the extension of the catalog"),
        (f"{HEAD}extensions:\n  add: [ghcr.io/siderolabs/spin]\n",
         f"{ADD}: 'ghcr.io/siderolabs/spin' has no digest: write spin for the extension of the catalog"),
        (f"{HEAD}extensions:\n  add:\n    - {{name: siderolabs/spin}}\n",
         ":5: extensions.add[0].name: bad extension name 'siderolabs/spin': write spin"),
        (f"{HEAD}extensions:\n  add:\n    - {{reference: siderolabs/spin}}\n",
         ":5: extensions.add[0]: 'siderolabs/spin' has no digest: write spin for the extension of the catalog"),
        (f"{HEAD}extensions:\n  drop:\n    - {{name: siderolabs/zfs, reason: x}}\n",
         ":5: extensions.drop[0].name: bad extension name 'siderolabs/zfs': write zfs"),
        (f"{HEAD}extensions:\n  add: [ghcr.io/me/mine:v1]\n",
         (":4: extensions.add[0]: reference 'ghcr.io/me/mine:v1' has no digest: add @sha256:… "
         "(a tag can change, the plan must not)")),
        (f"{HEAD}extensions:\n  add: [me/mine:v1@{DIGEST}]\n",
         (f":4: extensions.add[0]: bad image reference 'me/mine:v1@{DIGEST}': write REGISTRY/PATH:TAG@sha256:DIGEST, "
         "in lower case, for example ghcr.io/siderolabs/zfs:2.4.3-v1.13.6")),
        (f"{HEAD}extensions:\n  add: ['ghcr.io/me/mine:v1@sha256:12']\n",
         f"{ADD}: ghcr.io/me/mine:v1: bad digest 'sha256:12': it is `sha256:` and 64 hexadecimal digits"),
        (f"{HEAD}extensions:\n  add:\n    - {{name: Spin}}\n",
         ":5: extensions.add[0].name: bad extension name 'Spin': a-z, 0-9, and . _ - between them"),
        (f"{HEAD}extensions:\n  add:\n    - {{reason: why}}\n", ":5: 'extensions.add[0].name' is missing"),
        (f"{HEAD}extensions:\n  add:\n    - {{name: spin, version: 1.0}}\n",
         ":5: extensions.add[0].version: 1.0 is a number in YAML: put it in quotes"),
        (f"{HEAD}extensions:\n  add:\n    - {{name: spin, version: v1, reference: '{OWN}'}}\n",
         ":5: extensions.add[0]: give either a reference or a version: the reference's digest already says which"),
        (f"{HEAD}extensions:\n  add:\n    - spin\n    - spin:v1\n", ":6: extensions.add: 'spin' is listed twice"),
        (f"{HEAD}extensions:\n  drop: [zfs]\n",
         ":4: extensions.drop[0]: a drop says why: write `{name: zfs, reason: …}`"),
        (f"{HEAD}extensions:\n  drop:\n    - name: zfs\n", ":5: 'extensions.drop[0].reason' is missing"),
        (f"{HEAD}extensions:\n  drop:\n    - {{name: zfs, reason: a}}\n    - {{name: zfs, reason: b}}\n",
         ":6: extensions.drop: 'zfs' is listed twice"),
        (f"{HEAD}extensions:\n  drop:\n    - {{name: spin, reason: a}}\n  add:\n    - tailscale\n    - spin\n",
         ":8: 'spin' is both added and dropped: take one of the two lines out"),
        # the rest
        (f"{HEAD}architectures: [x86_64]\n", ":3: architectures: unknown architecture 'x86_64': write amd64"),
        (f"{HEAD}architectures: [mips]\n",
         ":3: architectures: unknown architecture 'mips': choose one of arm64, amd64"),
        (f"{HEAD}architectures: []\n", ":3: architectures: no architecture is left: leave the key out for all"),
        (f"{HEAD}architectures:\n  - arm64\n  - arm64\n", ":5: architectures: 'arm64' is listed twice"),
        (f"{HEAD}extraKernelArgs: [a=1 b=2]\n",
         ":3: extraKernelArgs: 'a=1 b=2' has a space: write one argument per item"),
        (f"{HEAD}extraKernelArgs: [a, a]\n", ":3: extraKernelArgs: 'a' is listed twice"),
        (f"{HEAD}meta: [{{key: 300, value: x}}]\n",
         ":3: meta[0].key: input should be less than or equal to 255, not 300"),
        (f"{HEAD}meta: [{{key: ten, value: x}}]\n", ":3: meta[0].key: a whole number is expected, not 'ten'"),
        (f"{HEAD}meta: [{{key: 10, value: x}}, {{key: 0xa, value: y}}]\n", ":3: meta: 'key 0xa' is listed twice"),
        # texts that would not stay in their line
        ('description: x\nrole: "worker\\nsecond line"\n',
         ":2: role: one line is expected, not 'worker\\nsecond line'"),
        ("description: |\n  one\n  two\nrole: x\n", ":1: description: one line is expected, not 'one\\ntwo\\n'"),
        ('description: "\\e[31mred"\nrole: x\n',
         ":1: description: '\\x1b[31mred' has the unprintable character U+001B: leave it out"),
        (f'{HEAD}extensions:\n  drop:\n    - {{name: zfs, reason: "a\\Lb"}}\n',
         ":5: extensions.drop[0].reason: 'a\\u2028b' has the unprintable character U+2028: leave it out"),
        (f'{HEAD}configuration:\n  kernelModules:\n    - {{name: "a\\tb", reason: x}}\n',
         ":5: configuration.kernelModules[0].name: 'a\\tb' has the unprintable character U+0009: leave it out"),
        (f'{HEAD}extensions:\n  drop:\n    - {{name: zfs, reason: "a\\u2066b"}}\n',
         ":5: extensions.drop[0].reason: 'a\\u2066b' has the unprintable character U+2066: leave it out"),
        ('description: "a\\u202eb"\nrole: x\n',
         ":1: description: 'a\\u202eb' has the unprintable character U+202E: leave it out"),
        (f"description: {'x' * 1001}\nrole: x\n",
         f":1: description: string should have at most 1000 characters, not '{'x' * 99}… (1003 characters)"),
        (f"{HEAD}extensions: {{add: [{{name: {'x' * 129}}}]}}\n",
         ":3: extensions.add[0].name: an extension name of 129 characters: at most 128"),
        (f"{HEAD}configuration:\n  kernelModules:\n    - {{name: ../../evil, reason: x}}\n",
         (":5: configuration.kernelModules[0].name: bad name '../../evil': "
         "letters, digits, and . _ - between them, at most 128")),
        (f"{HEAD}configuration:\n  runtimeClasses:\n    - {{name: a, handler: 'a b', reason: x}}\n",
         (":5: configuration.runtimeClasses[0].handler: bad name 'a b': "
         "letters, digits, and . _ - between them, at most 128")),
        (f'{HEAD}absent: ["a\\u0085b"]\n',
         ":3: absent[0]: 'a\\x85b' has the unprintable character U+0085: leave it out"),
        (f'{HEAD}meta: [{{key: 10, value: "\\ud800"}}]\n',
         ":3: meta[0].value: '\\ud800' has the unprintable character U+D800: leave it out"),
        (f"{HEAD}absent: [spin]\nextensions:\n  add: [spin]\n", ":3: 'spin' must be absent, but 'spin' is added"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_file_line_and_what_is_allowed(text: str, message: str) -> None:
    assert refusal(text) == f"variants/mine.yaml{message}"


@pytest.mark.parametrize("name", ["Spin", "1st", "spin_only", "-x"])
def test_a_bad_file_name_is_refused(name: str) -> None:
    with pytest.raises(VariantError) as raised:
        load_variants({f"{name}.yaml": HEAD})
    assert str(raised.value) == f"{name}.yaml: bad variant name {name!r}: a-z first, then a-z, 0-9 and -"


def test_a_file_that_would_be_overlooked_is_refused() -> None:
    with pytest.raises(VariantError) as raised:
        load_variants({"mine.yml": HEAD})
    assert str(raised.value) == "mine.yml: a variant's file name ends in .yaml: rename it to mine.yaml"


def test_other_files_are_not_looked_at() -> None:
    assert load_variants({"README.md": "# Variants", "mine.yaml": HEAD}).names == ("mine",)


def test_an_alias_that_is_taken_is_refused() -> None:
    with pytest.raises(VariantError) as raised:
        load_variants({"a.yaml": HEAD + "aliases: [b]\n", "b.yaml": HEAD})
    assert str(raised.value) == "a.yaml:3: alias 'b' is taken: it is b's name or alias (b.yaml)"


def test_ones_own_variants_come_on_top_and_replace_those_of_the_same_name() -> None:
    own = load_variants({"spin-only.yaml": HEAD, "mine.yaml": HEAD})
    merged = read_variants(BUILTIN).merged(own)
    assert merged.names == ("mine", "spin-only", "spin-tailscale")
    assert merged.get("spin-only").spec.description == "for tests"


def test_an_alias_collides_across_folders_too() -> None:
    with pytest.raises(VariantError, match=r"^mine\.yaml:3: alias 'tailscale\+spin' is taken: it is spin-tailscale's"):
        read_variants(BUILTIN).merged(load_variants({"mine.yaml": HEAD + "aliases: [tailscale+spin]\n"}))


def test_a_folder_without_variants_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VariantError) as raised:
        read_variants(tmp_path)
    assert str(raised.value) == f"{tmp_path}: no variant here: add NAME.yaml"


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VariantError) as raised:
        read_variants(tmp_path / "none")
    assert str(raised.value) == f"{tmp_path / 'none'}: no such folder of variants"


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"description: \xff\xfe\x00")
    with pytest.raises(VariantError) as raised:
        read_variants(tmp_path)
    assert str(raised.value) == "mine.yaml:1: not UTF-8: save it as UTF-8"


def test_a_file_in_another_encoding_is_refused_with_its_line_however_it_was_read(tmp_path: Path) -> None:
    text = f"{HEAD}# café\n"
    (tmp_path / "mine.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(VariantError) as raised:
        read_variants(tmp_path)
    assert str(raised.value) == "mine.yaml:3: not UTF-8: save it as UTF-8"
    answered_by_the_engine = text.encode("latin-1").decode(errors="replace")
    assert refusal(answered_by_the_engine) == "variants/mine.yaml:3: not UTF-8: save it as UTF-8"
    parse_variant("mine.yaml", text)


def test_texts_for_programs_may_have_any_lines() -> None:
    spec = parse_variant(
        "mine.yaml",
        f"""{HEAD}overlay:
  image: {OWN}
  name: rpi
  options: {{description: "a\\nb"}}
meta: [{{key: 10, value: "a\\n\\tb"}}]
configuration:
  extensionServices:
    - name: lldpd
      configFiles: [{{mountPath: /etc/lldpd.conf, content: "a\\x1b\\nb"}}]
      reason: >
        it waits
        for it
""",
    ).spec
    assert spec.meta[0].value == "a\n\tb"
    assert spec.configuration.extension_services[0].reason == "it waits for it"


def test_an_error_can_be_pickled() -> None:
    error = VariantError("a.yaml", 3, "why")
    assert str(pickle.loads(pickle.dumps(error))) == "a.yaml:3: why"
