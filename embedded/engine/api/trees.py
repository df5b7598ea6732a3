"""Directories and files as graphs: each function takes values and returns a new one, and asks nobody."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from embedded.engine import llb
from embedded.engine.api.values import Directory, File

FILE_MODE = 0o644
FOLDER_MODE = 0o755
_NOW = llb.NO_TIMESTAMP


def make_folder(path: str, mode: int = FOLDER_MODE, owner: str = "") -> llb.FileAction:
    return llb.file_action("mkdir", path=path, mode=mode, makeParents=True, owner=owner, timestamp=_NOW)


def _parents(path: str) -> list[llb.FileAction]:
    parent = posixpath.dirname(path)
    return [] if parent == "/" else [make_folder(parent)]


def copy(
    source: Directory | File,
    dest: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    owner: str = "",
    mode: int | None = None,
    timestamp: int | None = None,
) -> llb.FileAction:
    """Copy a file to `dest`, or a folder's contents into it."""
    return llb.file_action(
        "copy",
        secondary=source.tree,
        src=source.path,
        dest=dest,
        mode=-1 if mode is None else mode,
        owner=owner,
        dirCopyContents=isinstance(source, Directory),
        createDestPath=True,
        include_patterns=list(include),
        exclude_patterns=list(exclude),
        timestamp=_NOW if timestamp is None else timestamp * 10**9,  # nanoseconds
    )


def _apply(target: Directory, actions: list[llb.FileAction], name: str) -> Directory:
    return Directory(llb.file_op(target.tree, actions, name), target.path)


def with_new_file(target: Directory, path: str, contents: bytes, mode: int, owner: str = "") -> Directory:
    dest = target.at(path)
    write = llb.file_action("mkfile", path=dest, mode=mode, data=contents, owner=owner, timestamp=_NOW)
    return _apply(target, [*_parents(dest), write], f"write {path}")


def with_new_directory(target: Directory, path: str, mode: int) -> Directory:
    return _apply(target, [make_folder(target.at(path), mode)], f"create folder {path}")


def with_symlink(target: Directory, link_target: str, path: str) -> Directory:
    dest = target.at(path)
    link = llb.file_action("symlink", oldpath=link_target, newpath=dest, timestamp=_NOW)
    return _apply(target, [*_parents(dest), link], f"link {path}")


def with_directory(
    target: Directory,
    path: str,
    source: Directory,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    owner: str = "",
    mode: int | None = None,
) -> Directory:
    dest = target.at(path)
    plain = not (include or exclude or owner) and mode is None
    if plain and target.is_empty and dest == "/" and source.path == "/":
        return source
    if plain and source.is_empty:
        return _apply(target, [make_folder(dest)], f"create folder {path}") if dest != target.path else target
    actions = [copy(source, dest, include=include, exclude=exclude, owner=owner, mode=mode)]
    if dest != "/":
        # what lies above it is root's, and open to everybody
        actions = [*_parents(dest), make_folder(dest, FOLDER_MODE if mode is None else mode, owner), *actions]
    return _apply(target, actions, f"copy folder to {path}")


def with_file(target: Directory, path: str, source: File, *, owner: str = "", mode: int | None = None) -> Directory:
    dest = target.at(path)
    if path.endswith("/"):
        dest = posixpath.join(dest, source.name)
    # left to the copy, the folders above it would have the file's owner and mode
    return _apply(
        target, [*_parents(dest), copy(source, dest, owner=owner, mode=mode)], f"copy {source.name} to {path}"
    )


def without(target: Directory, paths: Sequence[str]) -> Directory:
    if target.tree is llb.SCRATCH:
        return target
    actions = [llb.file_action("rm", path=target.at(path), allowNotFound=True, allowWildcard=True) for path in paths]
    return _apply(target, actions, f"remove {' '.join(paths)}")


def with_timestamps(source: Directory, timestamp: int) -> Directory:
    tree = llb.file_op(llb.SCRATCH, [copy(source, "/", timestamp=timestamp)], f"set times to {timestamp}")
    return Directory(tree)


def rooted(source: Directory) -> Directory:
    """The same folder as the root of a tree of its own."""
    if source.path == "/":
        return source
    tree = llb.file_op(llb.SCRATCH, [copy(source, "/")], f"take {source.path}")
    return Directory(tree)


def difference(before: Directory, after: Directory) -> Directory:
    """What came or changed."""
    tree = llb.diff(rooted(before).tree, rooted(after).tree)
    return Directory(tree)


def renamed(source: File, name: str) -> File:
    tree = llb.file_op(llb.SCRATCH, [copy(source, "/" + name)], f"name it {name}")
    return File(tree, "/" + name)


def file_with(source: File, *, owner: str = "", timestamp: int | None = None) -> File:
    action = copy(source, "/" + source.name, owner=owner, timestamp=timestamp)
    return File(llb.file_op(llb.SCRATCH, [action], f"copy {source.name}"), "/" + source.name)
