"""The workloads of five packages: a registry on loopback has their images under their real names, one of each kind."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.engine.conftest import COMMAND
from tests.unit.workloads.five import CILIUM, KILO, KUBEOVN, REDIS, SHADOWBOX, Answering, checkout, images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engine.conftest import Call

pytestmark = pytest.mark.skipif("daggerw" not in COMMAND[0], reason="a module in a container does not reach loopback")


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """Address of a server that is all registries, as their mirror."""
    answering = Answering(images())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, content = answering.answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("cozystack")
    for name, text in checkout().items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return top


@pytest.fixture(scope="module")
def recorded(call: Call, upstream: Path, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report as JSON, which has the answers that other calls take."""
    mirrors = ",".join(f"{host}={registry}/{host}" for host in ("ghcr.io", "quay.io", "docker.io"))
    done = call("workloads", "--upstream", upstream, "--mirrors", mirrors, "--deep", "--format", "json")
    assert done.returncode == 0, done.stderr
    file = tmp_path_factory.mktemp("answers") / "answers.json"
    file.write_text(done.stdout)
    return file


def test_each_kind_of_image_is_told(recorded: Path) -> None:
    report = json.loads(recorded.read_text())
    found = {image["reference"]: (image["state"], image["reason"]) for image in report["verdict"]["images"]}
    assert found[KILO] == ("yes", "")
    assert found[KUBEOVN] == ("no", "it is there for linux/amd64")
    assert found[CILIUM] == ("no", "it is labelled arm64, and /manager in it is a program for amd64")
    assert found[SHADOWBOX] == ("no", "it is made for linux/amd64 alone")
    assert found[REDIS][0] == "unknown"
    (bundle,) = report["verdict"]["bundles"]
    assert (bundle["name"], bundle["state"]) == ("isp-full", "partly")
    assert [cause["package"] for cause in bundle["causes"]] == ["system/kubeovn", "system/cilium"]


def test_without_a_registry_the_answers_make_patches_and_pages(
    call: Call, upstream: Path, recorded: Path, tmp_path: Path
) -> None:
    done = call("workloads", "--upstream", upstream, "--offline", recorded, "--node-selectors")
    assert done.returncode == 0, done.stderr
    assert [entry["package"] for entry in yaml.safe_load(done.stdout)] == [
        "system/cilium",
        "system/kubeovn",
        "apps/vpn",
    ]
    out = tmp_path / "out"
    done = call("workloads-record", "--upstream", upstream, "--offline", recorded, "export", "--path", out)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == [
        *("answers.json", "node-selectors.yaml", "workloads.html", "workloads.json", "workloads.txt"),
    ]
    assert "redis-application" in (out / "workloads.txt").read_text()


def test_what_a_newer_checkout_lost_is_told(call: Call, upstream: Path, recorded: Path, tmp_path: Path) -> None:
    older = tmp_path / "older"
    for name, text in checkout().items():
        (older / name).parent.mkdir(parents=True, exist_ok=True)
        (older / name).write_text(text.replace(KUBEOVN, KILO))
    done = call(
        *("workloads-diff", "--upstream", upstream, "--before-upstream", older, "--offline", recorded),
        "--fail-on-loss",
    )
    assert done.returncode != 0
    assert "system/kubeovn" in done.stderr


of_the_lab = pytest.mark.skipif("--lab" not in COMMAND, reason="these packages are the lab's")


@of_the_lab
def test_the_labs_own_packages_have_an_image_of_each_kind(call: Call) -> None:
    """Without any argument: what a stranger calls. Their charts are rendered in the container of Helm's stand-in."""
    done = call("workloads", "--deep", "--render", "--format", "json")
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout)["verdict"]
    assert {image["reference"].partition("@")[0]: (image["state"], image["reason"]) for image in verdict["images"]} == {
        "docker.io/library/redis:8.4.0": ("yes", ""),
        "docker.io/oliver006/redis_exporter:v1.55.0-alpine": ("unknown", "its registry has no such image"),
        "ghcr.io/cozystack/cozystack/kilo:v1.6.2": ("yes", ""),
        "ghcr.io/cozystack/cozystack/kubeovn:v1.15.10": ("no", "it is there for linux/amd64"),
        "quay.io/cilium/operator-generic:v1.19.5": (
            "no",
            "it is labelled arm64, and /usr/bin/cilium-operator-generic in it is a program for amd64",
        ),
        "quay.io/outline/shadowbox:stable": ("no", "it is made for linux/amd64 alone"),
    }
    rendered = {
        package["name"]: any(place["how"] == "rendered" for image in package["images"] for place in image["places"])
        for package in verdict["packages"]
        if package["images"]
    }
    assert rendered.pop("apps/vpn") is False
    assert set(rendered.values()) == {True}
    refused = {package["name"]: package["notRendered"] for package in verdict["packages"] if package["notRendered"]}
    assert list(refused) == ["apps/vpn"]
    assert "externalIPs: name the address that clients connect to" in refused["apps/vpn"]


@of_the_lab
def test_the_labs_packages_before_differ_in_one_image(call: Call) -> None:
    done = call("workloads-diff", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert [change["name"] for change in json.loads(done.stdout)["packages"]] == ["system/kubeovn"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("workloads", "--upstream", "docs"), "no packages: a CozyStack checkout"),
        (("--upstream", "docs", "workloads"), "--upstream belongs behind this function"),
    ],
)
def test_what_is_no_checkout_says_so(call: Call, arguments: tuple[str, ...], said: str) -> None:
    done = call(*arguments)
    assert done.returncode != 0
    assert said in done.stderr
