"""Questions about directories and files."""

from __future__ import annotations

import os
import pathlib
import tempfile

import dagger
from dagger import dag

from embedded.tests.engine.questions import base, question, sh


@question
async def directory_empty_entries() -> object:
    return await dag.directory().entries()


@question
async def directory_entries_mark_directories() -> object:
    d = dag.directory().with_new_file("b/c", "").with_new_file("a", "")
    return await d.entries()


@question
async def directory_glob_recursive() -> object:
    d = dag.directory().with_new_file("x/y/z.txt", "").with_new_file("x/a.txt", "").with_new_file("b.md", "")
    return [sorted(await d.glob("**/*.txt")), sorted(await d.glob("*")), sorted(await d.glob("x/*"))]


@question
async def directory_with_directory_merges_and_overwrites() -> object:
    a = dag.directory().with_new_file("f", "a").with_new_file("only-a", "")
    b = dag.directory().with_new_file("f", "b").with_new_file("sub/only-b", "")
    d = a.with_directory("/", b)
    return [sorted(await d.glob("**")), await d.file("f").contents()]


@question
async def directory_with_directory_include_exclude() -> object:
    b = dag.directory().with_new_file("k.yaml", "").with_new_file("s/k.yaml", "").with_new_file("s/x.txt", "")
    inc = dag.directory().with_directory("/", b, include=["**/*.yaml"])
    exc = dag.directory().with_directory("/", b, exclude=["s"])
    return [sorted(await inc.glob("**")), sorted(await exc.glob("**"))]


@question
async def directory_without() -> object:
    d = dag.directory().with_new_file("a/x", "").with_new_file("a/y", "").with_new_file("b", "")
    return [
        sorted(await d.without_file("a/x").glob("**")),
        sorted(await d.without_directory("a").glob("**")),
    ]


@question
async def directory_without_missing_file() -> object:
    return await dag.directory().with_new_file("b", "").without_file("nope").entries()


@question
async def directory_missing_subdirectory() -> object:
    await dag.directory().with_new_file("a", "").directory("nope").entries()


@question
async def directory_diff() -> object:
    a = dag.directory().with_new_file("same", "1").with_new_file("changed", "1")
    b = dag.directory().with_new_file("same", "1").with_new_file("changed", "2").with_new_file("new", "")
    return sorted(await a.diff(b).glob("**"))


@question
async def directory_with_timestamps() -> object:
    d = dag.directory().with_new_file("a/f", "x").with_timestamps(1700000000)
    return await sh("stat -c %Y /m/a/f /m/a", base().with_mounted_directory("/m", d)).stdout()


@question
async def directory_permissions() -> object:
    d = dag.directory().with_new_file("f", "x", permissions=0o750).with_new_directory("d", permissions=0o711)
    return await sh("stat -c '%a %u %g' /m/f /m/d", base().with_mounted_directory("/m", d)).stdout()


@question
async def directory_exists() -> object:
    d = dag.directory().with_new_file("a/f", "")
    return [await d.exists("a"), await d.exists("a/f"), await d.exists("b")]


@question
async def directory_path_escape() -> object:
    return await dag.directory().with_new_file("../../escape", "x").entries()


@question
async def directory_absolute_paths_are_inside() -> object:
    return sorted(await dag.directory().with_new_file("/abs/f", "x").glob("**"))


@question
async def directory_symlink_survives_export() -> object:
    d = sh("mkdir /d && echo t > /d/t && ln -s t /d/l").directory("/d")
    with tempfile.TemporaryDirectory() as tmp:
        await d.export(tmp)
        link = pathlib.Path(tmp, "l")
        return [link.is_symlink(), link.read_text()]


@question
async def directory_export_merges_into_existing() -> object:
    with tempfile.TemporaryDirectory() as tmp:
        pathlib.Path(tmp, "old").write_text("old")
        await dag.directory().with_new_file("new", "new").export(tmp)
        kept = sorted(p.name for p in pathlib.Path(tmp).iterdir())
        await dag.directory().with_new_file("new", "new").export(tmp, wipe=True)
        return [kept, sorted(p.name for p in pathlib.Path(tmp).iterdir())]


@question
async def file_size_name_contents() -> object:
    f = dag.directory().with_new_file("dir/name.txt", "12345").file("dir/name.txt")
    return [await f.size(), await f.name(), await f.contents()]


@question
async def file_missing() -> object:
    await dag.directory().file("nope").contents()


@question
async def file_is_a_directory() -> object:
    await dag.directory().with_new_file("d/f", "").file("d").contents()


@question
async def file_export_and_mode() -> object:
    d = dag.directory().with_new_file("f", "x", permissions=0o755)
    with tempfile.TemporaryDirectory() as tmp:
        out = pathlib.Path(tmp, "deep", "f")
        await d.file("f").export(str(out))
        return [out.read_text(), oct(out.stat().st_mode & 0o777)]


@question
async def file_contents_not_utf8() -> object:
    return await sh("printf '\\377\\376' > /b").file("/b").contents()


async def modes(d: dagger.Directory) -> list[str]:
    """Each path with mode, owner and kind."""
    text = await sh("cd /m && find . -printf '%p %m %U:%G %y\\n'", base().with_mounted_directory("/m", d)).stdout()
    return sorted(text.splitlines())


@question
async def directory_with_file_makes_folders_that_can_be_entered() -> object:
    f = dag.directory().with_new_file("f", "x").file("f")
    c = base().with_file("/o/p/f", f, permissions=0o600, owner="3:4")
    return [
        await modes(dag.directory().with_file("a/b/f", f, permissions=0o600, owner="3:4")),
        await modes(dag.directory().with_files("a/b", [f], permissions=0o640)),
        await modes(c.directory("/o")),
    ]


@question
async def directory_with_directory_owner_and_permissions() -> object:
    d = dag.directory().with_new_file("s/f", "x")
    return [
        await modes(dag.directory().with_directory("a/b", d, owner="3:4")),
        await modes(dag.directory().with_directory("a/b", d, permissions=0o750)),
        await modes(dag.directory().with_directory("a", dag.directory(), permissions=0o700)),
        await modes(base().with_directory("/o/p", d, owner="daemon").directory("/o")),
    ]


@question
async def directory_exists_of_links() -> object:
    d = sh("mkdir -p /d/e; echo > /d/f; ln -s nope /d/l; ln -s f /d/m; ln -s e /d/n").directory("/d")
    kinds = (None, dagger.ExistsType.DIRECTORY_TYPE, dagger.ExistsType.REGULAR_TYPE, dagger.ExistsType.SYMLINK_TYPE)
    return [
        [[await d.exists(p, expected_type=k, do_not_follow_symlinks=n) for k in kinds] for n in (False, True)]
        for p in ("e", "f", "l", "m", "n", "nope", "nope/f")
    ]


@question
async def directory_stat_of_links() -> object:
    d = sh("mkdir -p /d/e; echo 12 > /d/f; ln -s f /d/m; ln -s e /d/n").directory("/d")
    stats = [d.stat(p, do_not_follow_symlinks=n) for p in ("f", "m", "n") for n in (False, True)]
    return [[await s.name(), str(await s.file_type())] for s in stats]


@question
async def directory_glob_cleans_patterns() -> object:
    d = dag.directory().with_new_file("a/b/c.txt", "").with_new_file("top.txt", "")
    return [await d.glob(p) for p in ("*/", "**/", "a/", "./a", "a//b", "a/../top.txt", "/a", "{a,top.txt}")]


@question
async def directory_export_says_a_clean_path() -> object:
    with tempfile.TemporaryDirectory() as tmp:
        d, place = dag.directory().with_new_file("f", "x"), os.path.relpath(tmp) + "/a/.."
        said = [await d.export(f"{place}/b"), await d.file("f").export(f"{place}/c")]
        said.append(await dag.container().with_new_file("/f", "x").export(f"{place}/d"))
        return [[path.replace(tmp, "TMP") for path in said], sorted(path.name for path in pathlib.Path(tmp).iterdir())]


@question
async def file_replace_what_is_there_twice() -> object:
    f = dag.directory().with_new_file("f", "a b a", permissions=0o750).file("f")
    return [
        await f.with_replaced("a", "c", all=True).contents(),
        await f.with_replaced("a", "c", first_from=1).contents(),
        await f.with_replaced("z", "c", all=True).contents(),
        await (f.with_replaced("b", "c")).contents(),
    ]


@question
async def file_replace_of_two_needs_all() -> object:
    return await dag.directory().with_new_file("f", "a b a").file("f").with_replaced("a", "c").contents()


@question
async def file_replace_what_is_not_there() -> object:
    return await dag.directory().with_new_file("f", "a b a").file("f").with_replaced("z", "c").contents()
