"""Publishing stand-ins to a registry on this machine, through the whole stack, and what its faults give."""

from __future__ import annotations

import base64
import http.client
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from embedded.tests.engine.publishing import VARIANT, VARIANTS, Registry, call, crane, published, refused, serving, tags

pytestmark = pytest.mark.engine

NO_AUTH, READ_ONLY = 401, 405


@pytest.fixture
def empty_registry(tmp_path: Path) -> Iterator[Registry]:
    """A registry that has no blob yet: what the tests before published would not be sent again."""
    folder = tmp_path / "registry"
    folder.mkdir()
    with serving(folder) as registry:
        yield registry


@dataclass
class Faulty:
    """A registry behind a door: wants a password, takes nothing, or dies in the middle of an upload."""

    behind: str
    password: str = ""
    read_only: bool = False
    #: Bytes of uploads after which it breaks off; 0: never.
    dies_after: int = 0
    host: str = ""
    puts: list[str] = field(default_factory=list[str])

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = "Basic " + base64.b64encode(f"me:{self.password}".encode()).decode()
        if self.password and handler.headers.get("Authorization") != wanted:
            handler.send_response(NO_AUTH)
            handler.send_header("WWW-Authenticate", 'Basic realm="test"')
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if self.read_only and handler.command in ("POST", "PUT", "PATCH"):
            handler.send_response(READ_ONLY)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        size = int(handler.headers.get("Content-Length") or 0)
        if self.dies_after and size > self.dies_after:
            handler.rfile.read(self.dies_after)
            handler.connection.close()
            raise ConnectionAbortedError
        self.forward(handler, handler.rfile.read(size))

    def forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if handler.command == "PUT":  # of an upload the digest, of a manifest the path
            self.puts.append(handler.path.rpartition("digest=")[2])
        connection = http.client.HTTPConnection(self.behind, timeout=60)
        headers = {key: value for key, value in handler.headers.items() if key.lower() != "host"}
        connection.request(handler.command, handler.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        handler.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("transfer-encoding", "connection", "content-length", "date"):
                handler.send_header(key, value)
        length = answer.getheader("Content-Length") if handler.command == "HEAD" else str(len(content))
        handler.send_header("Content-Length", length or "0")
        handler.end_headers()
        handler.wfile.write(content)
        connection.close()


@pytest.fixture
def faulty(registry: Registry) -> Iterator[Faulty]:
    door = Faulty(registry.host)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:
                self.close_connection = True

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    def answer(handler: BaseHTTPRequestHandler) -> None:
        door.serve(handler)

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    door.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield door
    server.shutdown()
    server.server_close()


def test_what_is_published_is_pulled_back_and_publishing_it_again_sends_nothing(registry: Registry) -> None:
    address = f"{registry.host}/lab"
    first = published(address, "--arches", "arm64,amd64", "--channel", "stable")
    (image,) = first["images"]
    assert image["repository"] == f"{address}/talos"
    release = image["tags"][0]["tag"]
    assert re.fullmatch(r"small-v1\.13\.6-[0-9a-f]{12}", release)  # the lab's checkout is of no release
    assert tags(registry, "lab/talos") == {release, "small-stable"}
    for tag in (release, "small-stable"):
        assert crane("digest", f"{address}/talos:{tag}") == image["digest"]
    crane("validate", "--remote", image["reference"])
    # the line for nodes names what is there
    (line,) = first["upgrade"]
    assert line.startswith("talosctl upgrade --nodes NODE --image ")
    assert crane("digest", line.rpartition(" ")[2]) == image["digest"]
    for platform in image["platforms"]:
        assert crane("digest", "--platform", platform["platform"], image["reference"]) == platform["digest"]
        config = json.loads(crane("config", f"{address}/talos@{platform['digest']}"))
        assert f"linux/{config['architecture']}" == platform["platform"]
        labels = config["config"]["Labels"]
        assert labels["io.cozystack.talos.plan"] == platform["plan"]
        assert labels["io.cozystack.talos.stand-in"] == "true"
        listed = json.loads(crane("manifest", f"{address}/talos:{platform['digest'].replace(':', '-')}"))
        assert [one["artifactType"] for one in listed["manifests"]] == [
            "application/spdx+json",
            "application/vnd.in-toto+json",
        ]
        assert [one["digest"] for one in listed["manifests"]] == [one["digest"] for one in platform["referrers"]]
        statement = document(address, listed["manifests"][1]["digest"])
        assert statement["subject"][0]["digest"] == {"sha256": platform["digest"].removeprefix("sha256:")}
    (again,) = published(address, "--arches", "arm64,amd64", "--channel", "stable")["images"]
    assert again["digest"] == image["digest"]
    assert (again["sentBlobs"], again["sentBytes"], again["sentManifests"]) == (0, 0, 0)


def test_the_site_of_a_release_names_the_image_that_is_published(registry: Registry, tmp_path: Path) -> None:
    """Without asking the registry: the same input gives the same image."""
    address = f"{registry.host}/site"
    words = ("--variants", VARIANT, "--outputs", "installer", "--address", address)
    done = call("--variants", VARIANTS, "site", *words, "export", "--path", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    (build,) = json.loads((tmp_path / "site/latest.json").read_text())["builds"]
    (image,) = published(address)["images"]
    assert build["installer"] == image["reference"]


def test_disk_images_are_an_index_of_artifacts_whose_layers_are_the_files(registry: Registry) -> None:
    """As `oras push` writes them: one manifest an architecture, each file a layer with its path as its title."""
    address, chosen = f"{registry.host}/files", ("--disk-images", "iso")
    (image,) = published(address, "--arches", "arm64,amd64", chosen=chosen)["images"]
    assert (image["image"], image["repository"]) == ("disks", f"{address}/talos-disks")
    assert crane("digest", f"{address}/talos-disks:{image['tags'][0]['tag']}") == image["digest"]
    index = json.loads(crane("manifest", image["reference"]))
    assert [one["platform"]["architecture"] for one in index["manifests"]] == ["arm64", "amd64"]
    for entry, platform in zip(index["manifests"], image["platforms"], strict=True):
        assert entry["digest"] == platform["digest"]
        arch, at = entry["platform"]["architecture"], f"{address}/talos-disks@{entry['digest']}"
        manifest = json.loads(crane("manifest", at))
        assert manifest["artifactType"] == "application/vnd.cozystack.talos.disk-images"
        files = {layer["annotations"]["org.opencontainers.image.title"]: layer for layer in manifest["layers"]}
        assert list(files) == [f"iso/metal-{arch}.iso", "checksums.sha256", "STAND-IN.txt"]
        listed = crane("blob", f"{address}/talos-disks@{files['checksums.sha256']['digest']}")
        digest = files[f"iso/metal-{arch}.iso"]["digest"].removeprefix("sha256:")
        assert f"{digest}  iso/metal-{arch}.iso" in listed.splitlines()
        assert [one["artifactType"] for one in platform["referrers"]] == [
            "application/spdx+json",
            "application/vnd.in-toto+json",
        ]
        statement = document(address, platform["referrers"][1]["digest"], "talos-disks")
        subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
        assert subjects[f"{address}/talos-disks"] == entry["digest"].removeprefix("sha256:")
        assert subjects[f"iso/metal-{arch}.iso"] == digest


def document(address: str, digest: str, repository: str = "talos") -> dict[str, Any]:
    """What refers to an image: the document that its manifest names."""
    (layer,) = json.loads(crane("manifest", f"{address}/{repository}@{digest}"))["layers"]
    return json.loads(crane("blob", f"{address}/{repository}@{layer['digest']}"))


def test_a_wrong_password_is_told_and_the_right_one_opens(registry: Registry, faulty: Faulty) -> None:
    faulty.password = "right"
    address = f"{faulty.host}/door"
    assert refused(address) == (
        f"Error: FunctionError: {faulty.host} asks for a login: give --username and --password env:NAME"
    )
    assert refused(address, "--username", "me", "--password", "env:PW", PW="wrong-one") == (
        f"Error: FunctionError: {faulty.host} refuses the password of 'me': check --username and --password"
    )
    assert tags(registry, "door/talos") == set()
    (image,) = published(address, "--username", "me", "--password", "env:PW", PW="right")["images"]
    assert tags(registry, "door/talos") == {image["tags"][0]["tag"]}


def test_a_read_only_registry_is_told_before_anything_is_built(faulty: Faulty) -> None:
    faulty.read_only = True
    assert refused(f"{faulty.host}/sealed") == (
        f"Error: FunctionError: {faulty.host} accepts no images: it, or sealed/talos, is read-only"
    )


def test_a_registry_that_dies_in_the_middle_has_no_tag_and_the_next_call_goes_on(
    empty_registry: Registry, faulty: Faulty
) -> None:
    registry, faulty.behind = empty_registry, empty_registry.host
    faulty.dies_after = 1 << 20
    address = f"{faulty.host}/dying"
    said = refused(address)
    assert f"the registry {faulty.host} closed the connection at sha256:" in said
    assert "No tag was set; call again" in said
    assert tags(registry, "dying/talos") == set()
    arrived = len(faulty.puts)
    assert arrived > 0
    faulty.dies_after = 0
    (image,) = published(address)["images"]
    release = image["tags"][0]["tag"]
    assert tags(registry, "dying/talos") == {release}
    assert crane("digest", f"{registry.host}/dying/talos:{release}") == image["digest"]
    blobs = [put for put in faulty.puts if put.startswith("sha256")]  # the list of referrers grows, and is put again
    assert len(set(blobs)) == len(blobs)


@pytest.mark.parametrize("address", ["ghcr.io/example", "no-such-registry.invalid/x"])
def test_stand_ins_do_not_leave_this_machine(address: str) -> None:
    assert refused(address) == (
        "Error: FunctionError: these images are stand-ins from the lab, and "
        f"{address.partition('/')[0]} is not on this machine: publish them to a registry on 127.0.0.1, or leave out "
        "--lab to build the real ones"
    )


def test_upstreams_own_steps_take_the_upstream_layout(registry: Registry, tmp_path: Path) -> None:
    """CozyStack's `image-talos` copies the installer's archive; `image-matchbox` copies kernel and initramfs."""
    outputs = ("--outputs", "kernel,initramfs,installer", "--layout", "upstream")
    arguments = ("build", "--variant", VARIANT, *outputs, "export", "--path", tmp_path)
    done = call("--variants", VARIANTS, "--arch", "amd64", *arguments)
    assert done.returncode == 0, done.stderr
    assets = tmp_path / "_out/assets"
    assert {"kernel-amd64", "initramfs-metal-amd64.xz", "installer-amd64.tar"} <= {one.name for one in assets.iterdir()}
    target = f"{registry.host}/upstream/talos:v1.13.6"
    crane("push", assets / "installer-amd64.tar", target)
    assert json.loads(crane("config", target))["architecture"] == "amd64"


def test_the_netboot_image_has_upstreams_files_at_their_places() -> None:
    folder = ("matchbox", "--variant", VARIANT, "directory", "--path", "/var/lib/matchbox")
    done = call("--variants", VARIANTS, *folder, "glob", "--pattern", "**/*.*")
    assert done.returncode == 0, done.stderr
    assert {"assets/initramfs.xz", "groups/default.json", "profiles/default.json"} <= set(done.stdout.split())
