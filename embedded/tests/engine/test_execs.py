"""Execs: those that use the API from within their container, whose files are whose, and which streams are kept."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from embedded.engine.api.execs import API_PORT
from embedded.setup.paths import EMBEDDED

INSIDE = """
import http.client, json, os
from base64 import b64encode

def ask(query, token=os.environ["DAGGER_SESSION_TOKEN"]):
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["DAGGER_SESSION_PORT"]), timeout=20)
    headers = {"Authorization": "Basic " + b64encode(f"{token}:".encode()).decode()}
    connection.request("POST", "/query", json.dumps({"query": query}), headers)
    answer = connection.getresponse()
    return [answer.status, answer.read().decode()]

token = os.environ["DAGGER_SESSION_TOKEN"]
print(json.dumps({
    "version": ask("{version}"),
    "work": ask('{container {withNewFile(path: "/x", contents: "made inside") {file(path: "/x") {contents}}}}'),
    "host": ask('{host {directory(path: "/") {entries}}}'),
    "secret": ask('{secret(uri: "env:HOME") {plaintext}}'),
    "export": ask('{directory {export(path: "/tmp/never")}}'),
    "call": ask("{currentFunctionCall {name}}"),
    "stranger": ask("{version}", "wrong"),
    "port": os.environ["DAGGER_SESSION_PORT"],
    "token": len(token),
}))
print("the token is", token)
"""
OUTSIDE = f"""
import anyio, dagger, json, sys

async def main():
    async with await dagger.connect():
        python = dagger.dag.container().from_("docker.io/library/python:3.13-slim-trixie")
        plain = ["sh", "-c", "echo $DAGGER_SESSION_PORT$DAGGER_SESSION_TOKEN; ls /dev/.exec"]
        print(json.dumps({{
            "root": await python.with_exec(["python", "-c", {INSIDE!r}], experimental_privileged_nesting=True).stdout(),
            "nobody": await python.with_user("nobody")
                .with_exec(["python", "-c", {INSIDE!r}], experimental_privileged_nesting=True).stdout(),
            "plain": await python.with_exec(plain).stdout(),
            "after": await python.with_exec(["true"], experimental_privileged_nesting=True).with_exec(plain).stdout(),
            "both": await python.with_exec(
                ["sh", "-c", "echo one; sleep 0.2; echo two >&2; sleep 0.2; echo three"]).combined_output(),
            "owners": await owners(python),
            "no owner": await no_owner(python),
        }}))

async def owners(python):
    folder = dagger.dag.directory().with_new_file("file", "x")
    secret = dagger.dag.set_secret("of-somebody", "x")
    return await (python
        .with_mounted_directory("/run/folder", folder, owner="www-data")
        .with_mounted_file("/run/file", folder.file("file"), owner="www-data:nogroup")
        .with_mounted_cache("/run/cache", dagger.dag.cache_volume("owned"), owner="12:34", source=folder)
        .with_mounted_secret("/run/secret", secret, owner="nobody:nogroup")
        .with_new_file("/etc/new", "x", owner="www-data")
        .with_exec(["stat", "-c", "%u:%g %n", "/run/folder/file", "/run/file", "/run/cache", "/run/cache/file",
            "/run/secret", "/etc/new"])
        .stdout())

async def no_owner(python):
    try:
        return await python.with_new_file("/etc/new", "x", owner="no-such-user").sync()
    except dagger.QueryError as error:
        return str(error)

anyio.run(main)
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    if os.geteuid() != 0:
        pytest.skip("BuildKit needs root")
    command = [EMBEDDED.parent / "daggerw", "--lab", "-s", "run", "python", "-c", OUTSIDE]
    environment = os.environ | {"DAGGERW_ENGINE": "embedded"}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=540, env=environment)
    return json.loads(done.stdout)


@pytest.mark.engine
@pytest.mark.parametrize("user", ["root", "nobody"])
def test_an_exec_reaches_the_api_and_nothing_of_the_callers_machine(answers: dict[str, Any], user: str) -> None:
    line, last = answers[user].splitlines()
    said = json.loads(line)
    assert said["version"] == [200, '{"data":{"version":"v0.21.8"}}']
    assert "made inside" in said["work"][1]
    for name, field in (("host", "Query.host"), ("secret", "Query.secret"), ("export", "Directory.export")):
        assert f"not supported by the embedded engine: {field} from within an exec" in said[name][1]
    assert "there is no function call here" in said["call"][1]
    assert said["stranger"][0] == 401
    assert (said["port"], said["token"]) == (str(API_PORT), 32)
    assert last == "the token is ***"


@pytest.mark.engine
@pytest.mark.parametrize("name", ["plain", "after"])
def test_an_exec_that_did_not_ask_for_the_api_has_no_way_to_it(answers: dict[str, Any], name: str) -> None:
    first, *listed = answers[name].splitlines()
    assert first == ""
    assert "session.sock" not in listed


@pytest.mark.engine
def test_owners_are_looked_up_in_the_container(answers: dict[str, Any]) -> None:
    expected = ["33:33 /run/folder/file", "33:65534 /run/file", "12:34 /run/cache", "12:34 /run/cache/file"]
    expected += ["65534:65534 /run/secret", "33:33 /etc/new"]
    assert answers["owners"].splitlines() == expected
    assert "the container's /etc/passwd has no 'no-such-user'" in answers["no owner"]


@pytest.mark.engine
def test_combined_output_has_both_streams_in_order(answers: dict[str, Any]) -> None:
    assert answers["both"] == "one\ntwo\nthree\n"
