"""Build a plan's outputs as CozyStack's Makefile does: one imager run each, with all extensions in every one.

    daggerw -s run python bench/upstream_way.py PLAN.json EPOCH

PLAN.json is what `plan --format json` prints. Images and extensions are made ready before, and not measured. Prints a
JSON object: output → what its run cost. EPOCH must not have been used before: it keeps the runs out of the cache.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import anyio
import dagger
from dagger import dag

sys.path.insert(0, str(Path(__file__).parent))

from meter import Meter

_PYTHON = (
    "docker.io/library/python:3.13-slim-trixie@sha256:9662417aace5ae7b8e2609cce472b72a8958e134ba372808abe9cc1a0c0125e6"
)

#: Puts the platform into an OCI layout's index, which the imager wants there.
_LABEL = """
import json, pathlib, sys
path = pathlib.Path("/out/base/index.json")
index = json.loads(path.read_text())
for descriptor in index["manifests"]:
    descriptor["platform"] = {"os": "linux", "architecture": sys.argv[1]}
path.write_text(json.dumps(index))
"""


def image(planned: dict[str, Any], platform: str | None = None) -> dagger.Container:
    """Return an image of the plan."""
    container = dag.container(platform=dagger.Platform(platform)) if platform else dag.container()
    return container.from_(f"{planned['reference']}@{planned['digest']}")


def tool() -> dagger.Container:
    """Return a container that can pack."""
    return dag.container().from_(_PYTHON).with_directory("/out", dag.directory())


async def extensions(plan: dict[str, Any]) -> dagger.Directory:
    """Return the extensions as the tars that the imager takes."""
    folder = dag.directory()
    for extension in plan["extensions"]:
        root = image(extension, f"linux/{plan['arch']}").rootfs()
        out = f"/out/{extension['name']}.tar"
        made = tool().with_mounted_directory("/image", root).with_exec(["tar", "-cf", out, "-C", "/image", "."])
        folder = folder.with_file(f"{extension['name']}.tar", made.file(out))
    return await folder.sync()


async def installer_base(plan: dict[str, Any]) -> dagger.Directory:
    """Return the installer's base as the OCI layout that the imager takes."""
    base = image(plan["installerBase"], f"linux/{plan['arch']}")
    archive = base.as_tarball(media_types=dagger.ImageMediaTypes.OCIMediaTypes)
    made = (
        tool()
        .with_mounted_file("/base.tar", archive)
        .with_exec(["mkdir", "/out/base"])
        .with_exec(["tar", "-xf", "/base.tar", "-C", "/out/base"])
        .with_exec(["python", "-c", _LABEL, plan["arch"]])
    )
    return await made.directory("/out/base").sync()


def upstreams(document: dict[str, Any], carried: list[dict[str, str]], arch: str) -> str:
    """Return a run's profile as upstream has it: the base initramfs and all extensions; a disk image packed with xz."""
    document["input"]["initramfs"] = {"path": f"/usr/install/{arch}/initramfs.xz"}
    document["input"]["systemExtensions"] = carried
    if document["output"]["kind"] == "image":
        document["output"]["outFormat"] = ".xz"
    return json.dumps(document)  # which is YAML


async def main(path: str, epoch: str) -> None:
    """Run the imager once for each output, one after the other."""
    plan: dict[str, Any] = json.loads(await anyio.Path(path).read_text())
    profiles: dict[str, dict[str, Any]] = plan["profiles"]
    carried = profiles["initramfs"]["input"]["systemExtensions"]
    costs: dict[str, Any] = {}
    async with dagger.connection():
        imager = (
            image(plan["imager"])
            .with_mounted_directory("/in/extensions", await extensions(plan), read_only=True)
            .with_mounted_directory("/in/installer-base", await installer_base(plan), read_only=True)
            .with_env_variable("SOURCE_DATE_EPOCH", epoch)
            .with_env_variable("TZ", "UTC")
        )
        for output in plan["outputs"]:
            profile = upstreams(profiles[output["name"].split(".")[0]], carried, plan["arch"])
            privileged = output["privileged"] is not None
            with Meter() as meter:
                run = imager.with_exec(["-"], use_entrypoint=True, stdin=profile, insecure_root_capabilities=privileged)
                await run.directory("/out").sync()
            costs[output["name"]] = meter.cost.to_json()
    print(json.dumps(costs))


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
