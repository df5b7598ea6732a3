"""The functions as Dagger sees them: names, arguments, defaults, caching, and errors in words."""

from __future__ import annotations

from typing import Any

import pytest

from ci.api import api_function, in_words
from ci.common.errors import BuildError, CozystackTalosError, OutputError, first
from ci.common.platforms import PLATFORMS
from ci.main import CozystackTalos
from ci.plan.outputs import FORMS
from tests.unit.engine import TRACE, engine_error, exec_error

MODULE: Any = vars(CozystackTalos)["__dagger_module__"]
OBJECT: Any = MODULE.get_object("CozystackTalos")


def signature(function: Any) -> dict[str, object]:
    """Argument → default; `...` for one that has to be given."""
    return {
        parameter.name: ... if parameter.signature.default is parameter.signature.empty else parameter.signature.default
        for parameter in function.parameters.values()
    }


def test_the_constructor_takes_what_all_functions_need() -> None:
    assert signature(OBJECT.get_constructor(MODULE._converter)) == {
        "upstream": ...,  # optional all the same: see the next test
        "release": None,
        "variants": None,
        "arch": "arm64",
        "source_date_epoch": None,
        "extension_file": None,
        "extension_layout": None,
        "registry": None,
        "registry_username": None,
        "registry_password": None,
        "secureboot_key": None,
        "secureboot_cert": None,
        "secureboot_pcr_key": None,
        "secureboot_enrolment": None,
        "disk_sector_size": None,
    }


def test_an_optional_folder_of_which_files_are_ignored_has_no_default() -> None:
    """Dagger 0.21 applies the patterns to a default of null too, and fails there: so nullable, and no default."""
    functions = [OBJECT.get_constructor(MODULE._converter), *(f for name, f in OBJECT.functions.items() if name)]
    ignoring = {p.name: p for function in functions for p in function.parameters.values() if p.ignore}
    assert {name: p.default_value for name, p in ignoring.items()} == {
        "upstream": None,
        "source": None,
        "before_upstream": None,
    }
    assert ignoring["upstream"].is_nullable
    assert ignoring["upstream"].is_optional


def test_what_an_argument_is_is_said_without_backquotes() -> None:
    """Dagger's help takes the first words between two of them for the argument's type."""
    functions = [OBJECT.get_constructor(MODULE._converter), *(f for name, f in OBJECT.functions.items() if name)]
    said = {p.name: p.doc for function in functions for p in function.parameters.values()}
    assert all(said.values())
    assert {name: doc for name, doc in said.items() if "`" in doc} == {}


BOOT = {
    "variant": ...,
    "from": "kernel",
    "assets": None,
    "kernel_args": None,
    "machine_config": None,
    "deadline": 300,
    "kvm": False,
}
ASKED = {
    "upstream": ...,
    "release": None,
    "arch": None,
    "offline": None,
    "mirrors": None,
    "format": "text",
}


def test_the_functions_are_these() -> None:
    functions = {name: signature(function) for name, function in OBJECT.functions.items() if name}
    assert functions == {
        "variants": {},
        "plan": {
            "variant": ...,
            "outputs": None,
            "layout": "boot",
            "disk_size": None,
            "base_url": None,
            "format": "text",
        },
        "schematic": {"variant": ..., "format": "text"},
        "build": {
            "variant": ...,
            "outputs": None,
            "layout": "boot",
            "disk_size": None,
            "base_url": None,
            "verify_signatures": False,
            "cosign_key": None,
            "cosign_mirrors": None,
            "boot_from": None,
            "arches": None,
            "sign_key": None,
            "sign_password": None,
        },
        "kernel": {"variant": ...},
        "initramfs": {"variant": ...},
        "cmdline": {"variant": ...},
        "uki": {"variant": ...},
        "iso": {"variant": ...},
        "metal": {"variant": ..., "format": "raw.zst"},
        "nocloud": {"variant": ..., "format": "raw.zst"},
        "installer_archive": {"variant": ...},
        "installer": {"variant": ...},
        "asset_image": {"variant": ..., "outputs": None, "layout": "boot"},
        "matchbox": {"variant": ...},
        "publish": {
            "variant": ...,
            "address": ...,
            "images": None,
            "arches": None,
            "outputs": None,
            "disk_images": None,
            "channel": None,
            "username": None,
            "password": None,
            "plain_http": False,
            "sign_key": None,
            "sign_password": None,
            "force": False,
            "network_seconds": 60,
            "format": "text",
        },
        "machine_config": {
            "variant": ...,
            "tailscale_auth_key": None,
            "routes": None,
            "hostname": None,
            "tailscale_args": None,
            "join_cidr": None,
            "installer": None,
            "install_disk": None,
            "node_subnets": None,
            "for": None,
            "login_server": None,
            "accept_routes": None,
            "accept_dns": None,
            "advertise_tags": None,
            "tailscale_client_id": None,
            "tailscale_audience": None,
            "talm": False,
            "check": None,
        },
        "inspect": {"assets": None, "image": None, "file": None, "format": "text", "all": False},
        "verify": {
            "assets": None,
            "image": None,
            "file": None,
            "variant": None,
            "cosign_key": None,
            "format": "text",
        },
        "diff": {
            **dict.fromkeys(["before", "before_image", "before_file", "after", "after_image", "after_file"]),
            "format": "text",
            "fail_on_change": False,
        },
        "reproduce": {"variant": ..., "outputs": None, "against": "build", "format": "text"},
        "images": {"variant": ..., "format": "text"},
        "outdated": {"repository": None, "to": None},
        "update": {"source": ..., "repository": None, "to": None},
        "boot": BOOT,
        "boot_record": BOOT,
        "netboot": {key: BOOT[key] for key in BOOT if key not in ("from", "assets")},
        "boots": {},
        "workloads": {
            **ASKED,
            "bundle": None,
            "node_selectors": False,
            "render": False,
            "rendered": None,
            "deep": False,
            "save": None,
        },
        "workloads_diff": {**ASKED, "before_upstream": ..., "before": None, "fail_on_loss": False},
        "workloads_record": {
            **{key: value for key, value in ASKED.items() if key != "format"},
            "before": None,
            "deep": False,
            "render": False,
        },
        "test": {"source": ..., "boot": False},
        "site": dict.fromkeys(["variants", "address", "arches", "outputs", "archives", "before", "cosign_key"]),
        "ci_files": {
            "vendor": ...,
            "source": ...,
            **dict.fromkeys(
                ["module", "variant", "variants_folder", "outputs", "address", "dagger", "dagger_checksum"]
            ),
        },
    }
    for name in ("test", "ci_files", "update"):
        assert OBJECT.functions[name].parameters["source"].default_path == "/"


def test_the_checks_are_test_and_the_quick_boots() -> None:
    assert [name for name, function in OBJECT.functions.items() if function.check] == ["boots", "test"]


def test_no_result_is_cached_over_calls() -> None:
    """Each looks at tags, catalogs or time, which the engine does not see."""
    assert {function.cache_policy for name, function in OBJECT.functions.items() if name} == {"never"}


def test_every_function_and_argument_has_a_sentence() -> None:
    constructor = OBJECT.get_constructor(MODULE._converter)
    for function in (constructor, *(function for name, function in OBJECT.functions.items() if name)):
        lines = function.doc.splitlines()
        assert lines[0].endswith(".")
        assert lines[1:2] in ([], [""])
        assert [p.name for p in function.parameters.values() if not p.doc] == []


# Errors


async def refused(call: Any) -> str:
    with pytest.raises(CozystackTalosError) as raised:
        await call
    return str(raised.value)


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(CozystackTalosError, match=r"^unknown architecture 'x86_64': write amd64$"):
        CozystackTalos(upstream=None, arch="x86_64")
    with pytest.raises(CozystackTalosError, match=r"^unknown architecture 'riscv64': choose one of arm64, amd64$"):
        CozystackTalos(upstream=None, arch="riscv64")


@pytest.mark.parametrize("function", ["plan", "build"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "edge"},
         "unknown variant 'edge': choose one of spin-only, spin-tailscale, or add variants/edge.yaml"),
        ({"variant": "spin_only"}, "unknown variant 'spin_only': did you mean spin-only?"),
        ({"variant": "spin-only", "outputs": ["kernal"]}, "unknown output 'kernal': did you mean kernel?"),
        ({"variant": "spin-only", "outputs": [","]},
         ("no output is asked for: choose from kernel, initramfs, cmdline, ipxe, uki, installer, iso, metal, nocloud, "
          f"upstream, the platforms {', '.join(list(PLATFORMS)[2:])}, and these with a form, for example "
          f"openstack.qcow2: {', '.join(FORMS)}, cmdline, uki, installer, iso, ipxe")),
        ({"variant": "spin-only", "outputs": ["aws.iso"]},
         ("output 'aws.iso': machines of Amazon Web Services do not boot from an ISO, but from a disk image: choose "
          "one of aws.raw.xz, aws.cmdline, aws.uki, aws.installer")),
        ({"variant": "spin-only", "outputs": ["aws"], "disk_size": "8TB"},
         "bad disk size '8TB': write a number of GiB or MiB, for example 8GiB or 2500MiB"),
        ({"variant": "spin-only", "layout": "flat"}, "unknown layout 'flat': choose one of boot, upstream"),
    ],
)  # fmt: skip
async def test_a_wrong_word_is_refused_before_anything_is_fetched(
    function: str, arguments: dict[str, Any], message: str
) -> None:
    module = CozystackTalos(upstream=None)
    assert await refused(getattr(module, function)(**arguments)) == message


async def test_reproduce_refuses_a_wrong_word_too() -> None:
    module = CozystackTalos(upstream=None)
    assert await refused(module.reproduce("spin-only", ["kernal"])) == "unknown output 'kernal': did you mean kernel?"
    assert await refused(module.reproduce("spin-only", against="imger")) == (
        "nothing to compare with is called 'imger': did you mean imager?"
    )


async def test_build_refuses_wrong_words_among_several_before_anything_is_fetched() -> None:
    module = CozystackTalos(upstream=None)
    assert await refused(module.build("spin-only,spin_tailscale")) == (
        "unknown variant 'spin_tailscale': did you mean spin-tailscale?"
    )
    assert await refused(module.build("all", arches=["arm64", "riscv64"])) == (
        "unknown architecture 'riscv64': choose one of arm64, amd64"
    )
    assert await refused(module.build("all", ["kernal"])) == "unknown output 'kernal': did you mean kernel?"


@pytest.mark.parametrize("function", ["plan", "schematic"])
async def test_a_wrong_format_is_refused_before_anything_is_fetched(function: str) -> None:
    module = CozystackTalos(upstream=None)
    assert await refused(getattr(module, function)("spin-only", format_="toml")) == (
        "unknown format 'toml': choose one of text, json, yaml"
    )


@pytest.mark.parametrize("function", ["metal", "nocloud"])
async def test_a_disk_image_in_an_unknown_format_is_refused(function: str) -> None:
    module = CozystackTalos(upstream=None)
    assert await refused(getattr(module, function)("spin-only", format_="zip")) == (
        f"unknown format in output '{function}.zip': choose one of {', '.join(FORMS)}, cmdline, uki, installer, iso, "
        "ipxe"
    )


async def test_variants_are_listed_without_an_engine() -> None:
    table = await CozystackTalos(upstream=None).variants()
    assert "spin-tailscale" in table
    assert "(also tailscale+spin)" in table


async def test_a_release_that_is_no_tag_is_refused_also_where_no_checkout_is_read() -> None:
    said = await refused(CozystackTalos(upstream=None, release="v1\x1b[31m\nX").variants())
    assert said.startswith("--release: bad release 'v1\\x1b[31m\\nX': write CozyStack's tag, such as v")


def test_a_failed_command_is_told_with_its_last_lines() -> None:
    error = in_words(exec_error(["tar", "-"], 3, stdout="a\n", stderr="".join(f"{n}\n" for n in range(30))))
    assert isinstance(error, BuildError)
    assert str(error).splitlines() == ["`tar -` ended with exit code 3:", *(str(n) for n in range(10, 30))]


@pytest.mark.parametrize(
    "said",
    [
        "write /out/a: no space left on device\n",
        "OSError: [Errno 28] No space left on device: '/out/a'\n" + "later\n" * 30,
        "dd: error writing '/x': Disk quota exceeded\n",
    ],
)
def test_a_command_that_found_a_full_disk_says_what_to_do(said: str) -> None:
    lines = str(in_words(exec_error(["imager", "-"], 1, stderr=said))).splitlines()
    assert lines[-1].startswith("The disk is full: free room there (`./daggerw --engine prune`")
    assert lines[0] == "`imager -` ended with exit code 1:"


def test_the_embedded_engines_own_hint_is_not_said_twice() -> None:
    said = "no space left on device\n\nempty the cache with `./daggerw --engine prune`, or\n"
    assert str(in_words(exec_error(["imager", "-"], 1, stderr=said))).count("prune") == 1
    assert "prune" not in str(in_words(exec_error(["imager", "-"], 1, stderr="401 unauthorized\n")))


def test_what_the_engine_answers_is_told_as_it_is() -> None:
    error = in_words(engine_error(f"no manifest matches requested platform{TRACE}"))
    assert isinstance(error, BuildError)
    assert str(error) == "no manifest matches requested platform"


def test_another_error_stays_what_it_is() -> None:
    error = KeyError("x")
    assert in_words(error) is error


def test_of_steps_that_fail_together_the_first_is_told() -> None:
    inner = OutputError("a")
    assert first(ExceptionGroup("g", [ExceptionGroup("h", [inner, OutputError("b")]), OutputError("c")])) is inner


async def raising(error: Exception) -> None:
    async def method() -> None:
        raise error

    await api_function(method)()


async def test_a_users_mistake_has_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OutputError, match=r"^no$") as raised:
        await raising(ExceptionGroup("unhandled errors in a TaskGroup", [OutputError("no")]))
    assert (raised.value.__suppress_context__, raised.value.__cause__) == (True, None)
    assert capsys.readouterr() == ("", "")


async def test_a_mistake_of_ours_has_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError):
        await raising(KeyError("x"))
    assert "Traceback" in capsys.readouterr().err
