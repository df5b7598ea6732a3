"""Registries that answer badly or not at all, through the whole stack: host, cause and way out are named."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from embedded.tests.engine import bad_servers
from embedded.tests.engine.bad_servers import own_address, refusing, self_signed, serving, silent
from embedded.tests.engine.calls import Calls

pytestmark = pytest.mark.engine

LOGIN = "docker login {host}"
AGAIN = "Try again; if it happens again"


def pulled(calls: Calls, host: str, *words: str, **env: str) -> str:
    """Return the error of a call that pulls an image from a host, without its address."""
    address = f"{host}/some/image:1"
    said = calls.refused("-s", "core", "container", "from", "--address", address, *(words or ["platform"]), **env)
    assert "can't be reached" not in said
    assert all(line.isprintable() for line in said.split("\n"))
    return said.replace(host, "HOST")


@pytest.mark.parametrize(
    ("server", "message", "hint"),
    [
        (refusing(403, "no access"), "HOST refuses access (403 Forbidden)", "login may read this repository"),
        (refusing(403, bad_servers.HOSTILE), "HOST refuses access (403 Forbidden)", "login may read this repository"),
        (refusing(401, "log in"), "HOST wants a login, or has no such repository", "docker login HOST"),
        (refusing(429, "slower"), "HOST limits how often it is asked", "Log in (docker login HOST), use a mirror"),
        (refusing(500, "oops"), "HOST has trouble of its own", AGAIN),
        (bad_servers.SignInPage, "HOST answers with something else than the image", "a sign-in page may stand between"),
        (bad_servers.CutOff, "HOST ended the connection in the middle of an answer", AGAIN),
        (bad_servers.HangUp, "HOST ended the connection in the middle of an answer", AGAIN),
        (bad_servers.OtherManifest, "HOST answers with something else than the image", "HOST is a registry"),
    ],
)
def test_a_manifest_that_cannot_be_had(
    calls: Calls, server: type[bad_servers.Registry], message: str, hint: str
) -> None:
    with serving(server) as host:
        said = pulled(calls, host)
    assert said.startswith(f"Error: {message}")
    assert 'failed to resolve image "HOST/some/image:1"' in said
    assert hint in said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("server", "message"),
    [
        (bad_servers.OtherBlob, "what HOST delivered is not the image that was asked for"),
        (bad_servers.ShortBlob, "HOST ended the connection in the middle of an answer"),
        (bad_servers.RefusedBlob, "HOST refuses access (403 Forbidden)"),
    ],
)
def test_a_layer_that_cannot_be_had_names_image_and_registry(
    calls: Calls, server: type[bad_servers.Registry], message: str
) -> None:
    with serving(server) as host:
        said = pulled(calls, host, "rootfs", "entries")
    assert said.startswith(f"Error: {message}")
    assert "pull HOST/some/image:1 for linux/" in said


def test_plain_http_where_tls_is_spoken(calls: Calls) -> None:
    with serving(bad_servers.Registry, host=own_address()) as host:
        said = pulled(calls, host)
    assert said.startswith("Error: HOST does not speak TLS: it answers in plain HTTP")
    assert '[registry."HOST"] and below it http = true' in said
    assert " into /" in said, "the file for it is named"


def test_a_certificate_that_nobody_signed(calls: Calls, tmp_path: Path) -> None:
    address = own_address()
    with serving(bad_servers.Registry, self_signed(tmp_path, address), address) as host:
        said = pulled(calls, host)
    assert said.startswith("Error: the certificate of HOST is from an authority that is not trusted here")
    assert "SSL_CERT_FILE" in said


@pytest.mark.parametrize("address", ["127.0.0.1", own_address()])
def test_a_registry_that_takes_the_connection_and_says_nothing(calls: Calls, address: str) -> None:
    begin = time.monotonic()
    with silent(address) as host:
        said = pulled(calls, host, COZYSTACK_TALOS_NETWORK_SECONDS="3")
    assert time.monotonic() - begin < 60
    assert said.startswith("Error: HOST did not answer for 3 s (look up HOST/some/image:1)\n")
    assert "set COZYSTACK_TALOS_NETWORK_SECONDS to wait longer" in said


class StuckBlob(bad_servers.Registry):
    def layer(self) -> None:
        time.sleep(120)


def test_a_layer_that_never_comes_ends_too(calls: Calls) -> None:
    with serving(StuckBlob) as host:
        said = pulled(calls, host, "rootfs", "entries", COZYSTACK_TALOS_NETWORK_SECONDS="1")
    assert said.startswith("Error: HOST did not answer for 1")
    assert "pull HOST/some/image:1 for linux/" in said


@pytest.mark.parametrize("ref", ["#main", f"#{'0123456789' * 4}"], ids=["branch", "commit"])
def test_a_git_server_that_says_nothing(calls: Calls, ref: str) -> None:
    with silent() as host:
        words = ["core", "address", f"--value=git://{host}/some/repo{ref}", "directory", "entries"]
        said = calls.refused("-s", *words, COZYSTACK_TALOS_NETWORK_SECONDS="2").replace(host, "HOST")
    assert said.startswith("Error: HOST did not answer for ")
    assert "git://HOST/some/repo" in said


def test_a_password_in_an_address_is_shown_nowhere(calls: Calls) -> None:
    with serving(refusing(403, "no")) as host:
        words = ["core", "address", f"--value=http://me:s3cret@{host}/repo#main", "directory", "entries"]
        code, out, err = calls.run("--progress", "plain", "-vv", *words)
    assert code == 1
    assert "s3cret" not in out + err
    assert f"http://me:***@{host}/repo" in err


SHARED = """
import anyio, dagger, json

async def main():
    async with await dagger.connect():
        base = dagger.dag.container().from_("docker.io/library/debian:trixie-slim")
        parent = base.with_exec(["sh", "-c", "echo out; echo boom >&2; exit 3"])
        said = []

        async def child(name):
            try:
                await parent.with_exec(["echo", name]).stdout()
            except dagger.ExecError as error:
                said.append([error.exit_code, error.stdout, error.stderr])

        async with anyio.create_task_group() as group:
            for name in ("a", "b", "c"):
                group.start_soon(child, name)
        await child("d")
        folder = dagger.dag.directory()
        one = folder.with_new_file("a/b", "x").with_new_file("c", "y", permissions=0o600)
        other = folder.with_new_file("c", "y", permissions=0o600).with_directory("a", folder.with_new_file("b", "x"))
        third = one.with_new_file("c", "z", permissions=0o600)
        fourth = one.with_new_file("c", "y", permissions=0o644)
        digests = [await each.digest() for each in (one, other, third, fourth, one.with_timestamps(5))]
        print(json.dumps([said, digests, await folder.digest()]))

anyio.run(main)
"""


def test_what_a_failing_parent_printed_is_shown_once_and_equal_directories_have_equal_digests(calls: Calls) -> None:
    import json

    code, out, err = calls.run("--lab", "-s", "run", "python", "-c", SHARED)
    assert code == 0, err
    said, (one, other, third, fourth, later), empty = json.loads(out)
    assert said == [[3, "out", "boom"]] * 4
    assert one == other == later
    assert len({one, third, fourth, empty}) == 4
