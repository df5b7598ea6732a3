"""Questions about containers as images, and the host's files."""

from __future__ import annotations

import json
import pathlib
import re
import tempfile

import dagger
from dagger import dag

from embedded.tests.engine.questions import base, question, sh

BLOBS = r"mkdir /o && tar -xf /t.tar -C /o && cat /o/blobs/sha256/* | tr -d '\0'"
"""All contents of an image archive at /t.tar."""


@question
async def container_scratch_rootfs() -> object:
    return await dag.container().rootfs().entries()


@question
async def container_scratch_has_no_shell() -> object:
    await dag.container().with_exec(["sh"]).sync()


@question
async def container_with_directory_and_file() -> object:
    d = dag.directory().with_new_file("f", "d")
    c = dag.container().with_directory("/x", d).with_file("/y", d.file("f")).with_new_file("/z", "z")
    return [sorted(await c.rootfs().glob("**")), await c.file("/y").contents()]


@question
async def container_labels_and_entrypoint() -> object:
    c = dag.container().with_label("a", "1").with_label("b", "2").without_label("a").with_entrypoint(["/bin/x"])
    return [{await label.name(): await label.value() for label in await c.labels()}, await c.entrypoint()]


@question
async def container_platform_is_kept() -> object:
    c = dag.container(platform=dagger.Platform("linux/arm64"))
    return [str(await c.platform()), str(await c.with_new_file("/f", "x").platform())]


@question
async def container_tarball_layout() -> object:
    c = dag.container(platform=dagger.Platform("linux/arm64")).with_new_file("/f", "x").with_label("k", "v")
    return await (
        base()
        .with_mounted_file("/t.tar", c.as_tarball())
        .with_exec(["sh", "-c", "mkdir /o && tar -xf /t.tar -C /o && ls /o && tr -d ' \\n' < /o/oci-layout"])
        .stdout()
    )


@question
async def container_tarball_config_platform() -> object:
    c = dag.container(platform=dagger.Platform("linux/arm64")).with_new_file("/f", "x")
    return await (
        base()
        .with_mounted_file("/t.tar", c.as_tarball())
        .with_exec(["sh", "-c", BLOBS + """ | grep -ao '"architecture":"[a-z0-9]*"' | sort -u"""])
        .stdout()
    )


@question
async def container_tarball_index_entry_keys() -> object:
    c = dag.container(platform=dagger.Platform("linux/arm64")).with_new_file("/f", "x")
    tar = c.as_tarball(media_types=dagger.ImageMediaTypes.OCIMediaTypes)
    out = await (
        base()
        .with_mounted_file("/t.tar", tar)
        .with_exec(["sh", "-c", "mkdir /o && tar -xf /t.tar -C /o && cat /o/index.json"])
        .stdout()
    )
    return [sorted(m) for m in json.loads(out)["manifests"]]


@question
async def container_tarball_forced_compression() -> object:
    c = dag.container().with_new_file("/f", "x")
    tar = c.as_tarball(
        media_types=dagger.ImageMediaTypes.OCIMediaTypes, forced_compression=dagger.ImageLayerCompression.Zstd
    )
    return await (
        base()
        .with_mounted_file("/t.tar", tar)
        .with_exec(["sh", "-c", BLOBS + " | grep -ao 'application/vnd.oci.image.layer[a-z0-9.+]*'"])
        .stdout()
    )


@question
async def container_with_exec_stdin_and_entrypoint() -> object:
    c = base().with_entrypoint(["cat"])
    return await c.with_exec(["-"], use_entrypoint=True, stdin="a: 1\nb: [x]\n").stdout()


@question
async def container_rootfs_roundtrip_keeps_modes_and_links() -> object:
    c = sh(
        "mkdir -p /r/d && echo x > /r/d/f && chmod 4751 /r/d/f && ln -s d/f /r/l && ln /r/d/f /r/h && chown 7:8 /r/d/f"
    )
    d = dag.directory().with_directory("/", c.directory("/r"))
    return await sh(
        "cd /m && stat -c '%n %a %u:%g %F' d/f h l d && readlink l", base().with_mounted_directory("/m", d)
    ).stdout()


@question
async def container_import_roundtrip() -> object:
    c = dag.container().with_new_file("/f", "x").with_label("k", "v")
    back = dag.container().import_(c.as_tarball())
    return [await back.file("/f").contents(), await back.label("k")]


@question
async def container_from_bad_reference() -> object:
    await dag.container().from_("Not A Ref").sync()


@question
async def container_from_unreachable_registry() -> object:
    await dag.container().from_("127.0.0.1:1/nothing/here:1").sync()


@question
async def container_image_ref_has_digest() -> object:
    return bool(re.search(r"@sha256:[0-9a-f]{64}$", await base().image_ref()))


@question
async def container_ids_are_reusable() -> object:
    c = base().with_new_file("/f", "via id")
    again = dag.load_container_from_id(dagger.ContainerID(await c.id()))
    return await again.file("/f").contents()


@question
async def host_directory_upload_with_exclude() -> object:
    with tempfile.TemporaryDirectory() as tmp:
        pathlib.Path(tmp, "keep").write_text("k")
        pathlib.Path(tmp, "skip.log").write_text("s")
        d = dag.host().directory(tmp, exclude=["*.log"])
        return await d.entries()


@question
async def host_file_upload() -> object:
    with tempfile.TemporaryDirectory() as tmp:
        p = pathlib.Path(tmp, "f")
        p.write_text("host")
        return await dag.host().file(str(p)).contents()


@question
async def host_directory_missing() -> object:
    await dag.host().directory("/no/such/directory").entries()


@question
async def container_without_entrypoint() -> object:
    c = dag.container().with_entrypoint(["a", "b"]).with_default_args(["c"])
    kept = c.without_entrypoint(keep_default_args=True)
    return [
        [await c.without_entrypoint().entrypoint(), await c.without_entrypoint().default_args()],
        [await kept.entrypoint(), await kept.default_args()],
        [
            await c.with_entrypoint(["d"]).default_args(),
            await c.with_entrypoint(["d"], keep_default_args=True).default_args(),
        ],
    ]
