"""Tell a registry that serves the lab's blobs which manifests and tags there are.

go-containerregistry's registry keeps blobs on disk and manifests in memory only, so this is done after each start.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping

from embedded.lab.errors import LabError
from embedded.lab.oci import Blobs, Descriptor
from embedded.lab.recipe import Result


def repository(reference: str) -> tuple[str, str]:
    """Split a full reference with a tag: `ghcr.io/siderolabs/drbd:1` gives (`ghcr.io/siderolabs/drbd`, `1`)."""
    name, _, tag = reference.rpartition(":")
    return name, tag


def publish(registry: str, blobs: Blobs, images: Mapping[str, Result]) -> None:
    """Put the manifests of images into a registry (`127.0.0.1:PORT`), under their full names; no blob is sent.

    An image whose tag is there with its digest is left alone: its tag is put last.
    """
    connection = http.client.HTTPConnection(registry, timeout=30)
    try:
        for reference, result in images.items():
            name, tag = repository(reference)
            image = Descriptor.from_json(result.value["image"])
            if _digest(connection, name, tag) == image.digest:
                continue
            manifests = [Descriptor.from_json(value) for value in result.value["manifests"]]
            for manifest in manifests:
                _put(connection, name, manifest.digest, manifest, blobs)
            _put(connection, name, tag, image, blobs)
    except OSError as error:
        raise LabError(f"cannot reach the local registry at {registry}: {error}") from error
    finally:
        connection.close()


def _digest(connection: http.client.HTTPConnection, name: str, tag: str) -> str | None:
    """Return what a tag is in the registry, None where it has no such tag."""
    connection.request("HEAD", f"/v2/{name}/manifests/{tag}")
    answer = connection.getresponse()
    answer.read()
    return answer.headers["Docker-Content-Digest"] if answer.status == http.client.OK else None


def _put(connection: http.client.HTTPConnection, name: str, tag: str, manifest: Descriptor, blobs: Blobs) -> None:
    content = blobs.path(manifest.digest).read_bytes()
    connection.request("PUT", f"/v2/{name}/manifests/{tag}", content, {"Content-Type": manifest.media_type})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != http.client.CREATED:
        text = json.dumps(body.decode(errors="replace"))
        raise LabError(f"the local registry refuses {name}:{tag}: {answer.status} {text}")
