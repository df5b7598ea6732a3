"""Build definitions: digests follow from content, inputs come before their users, indices are those BuildKit reads."""

from __future__ import annotations

import pytest

pytest.importorskip("grpc")

from embedded.engine import llb
from embedded.engine.api import trees
from embedded.engine.api.values import Directory, inside
from embedded.engine.protos import pb


def operation(output: llb.Output):
    assert output.vertex is not None
    return pb.Op.FromString(output.vertex.data)


def test_equal_graphs_are_equal_values() -> None:
    one = trees.with_new_file(Directory(), "a/b", b"x", 0o644)
    other = trees.with_new_file(Directory(), "a/b", b"x", 0o644)
    assert one == other
    assert one != trees.with_new_file(Directory(), "a/b", b"y", 0o644)


def test_inputs_come_before_their_users_and_once() -> None:
    base = trees.with_new_file(Directory(), "f", b"x", 0o644)
    both = trees.with_directory(trees.with_directory(Directory(), "a", base), "b", base)
    order = [vertex.digest for vertex in llb.vertices(both.tree)]
    assert len(order) == len(set(order)) == 3
    assert order[0] == base.tree.vertex.digest  # type: ignore[union-attr]
    assert order[-1] == both.tree.vertex.digest  # type: ignore[union-attr]


def test_a_definition_ends_with_the_wanted_output() -> None:
    tree = trees.with_new_file(Directory(), "f", b"x", 0o644).tree
    message = llb.definition(tree)
    last = pb.Op.FromString(getattr(message, "def")[-1])
    assert [(one.digest, one.index) for one in last.inputs] == [(tree.vertex.digest, 0)]  # type: ignore[union-attr]


def test_actions_of_one_file_operation_build_on_each_other() -> None:
    op = operation(trees.with_new_file(Directory(), "deep/er/f", b"x", 0o600).tree)
    folder, file = op.file.actions
    assert (folder.input, folder.output, folder.mkdir.path, folder.mkdir.makeParents) == (-1, -1, "/deep/er", True)
    assert (file.input, file.output, file.mkfile.path, file.mkfile.mode) == (0, 0, "/deep/er/f", 0o600)


def test_the_root_filesystem_is_the_first_output_and_writable_mounts_follow() -> None:
    folder = trees.with_new_file(Directory(), "f", b"x", 0o644).tree
    mounts = (
        llb.Mount("/", writable=True),
        llb.Mount("/ro", tree=folder),
        llb.Mount("/rw", tree=folder, writable=True),
        llb.Mount("/cache", "cache", cache_id="c"),
    )
    vertex, outputs = llb.exec_op(llb.Exec(("true",), (), "/", "", mounts))
    assert outputs == (llb.Output(vertex, 0), None, llb.Output(vertex, 1), None)
    op = pb.Op.FromString(vertex.data)
    assert [(m.dest, m.input, m.output, m.readonly) for m in op.exec.mounts] == [
        ("/", -1, 0, False),
        ("/ro", 0, -1, True),
        ("/rw", 0, 1, False),
        ("/cache", -1, -1, False),
    ]


def test_what_needs_a_privileged_exec_says_so() -> None:
    _, (root,) = llb.exec_op(llb.Exec(("true",), (), "/", "", (llb.Mount("/", writable=True),), insecure=True))
    assert root is not None
    after = trees.with_new_file(Directory(root), "f", b"", 0o644)
    assert after.tree.vertex.insecure  # type: ignore[union-attr]
    assert not trees.with_new_file(Directory(), "f", b"", 0o644).tree.vertex.insecure  # type: ignore[union-attr]


def test_a_secret_is_in_the_definition_by_id_only() -> None:
    mounts = (llb.Mount("/", writable=True), llb.Mount("/run/s", "secret", secret_id="id-of-it", mode=0o400))
    vertex, _ = llb.exec_op(llb.Exec(("true",), (), "/", "", mounts, secret_env=(("S", "id-of-it"),)))
    op = pb.Op.FromString(vertex.data)
    assert op.exec.mounts[1].secretOpt.ID == "id-of-it"
    assert [(one.name, one.ID) for one in op.exec.secretenv] == [("S", "id-of-it")]


@pytest.mark.parametrize(
    ("base", "path", "full"),
    [
        ("/", "a/b", "/a/b"),
        ("/", "/a", "/a"),
        ("/d", "x/../y", "/d/y"),
        ("/d", "../../escape", "/d/escape"),
        ("/d", "..", "/d"),
        ("/", ".", "/"),
        ("/d", "", "/d"),
    ],
)
def test_a_path_stays_inside(base: str, path: str, full: str) -> None:
    assert inside(base, path) == full


def test_copying_a_whole_tree_into_nothing_is_the_tree() -> None:
    source = trees.with_new_file(Directory(), "f", b"x", 0o644)
    assert trees.with_directory(Directory(), "/", source) is source
    assert trees.with_directory(Directory(), "/", source, include=["f"]) != source


def test_timestamps_are_nanoseconds_for_buildkit() -> None:
    source = trees.with_new_file(Directory(), "f", b"x", 0o644)
    op = operation(trees.with_timestamps(source, 1700000000).tree)
    assert op.file.actions[0].copy.timestamp == 1700000000 * 10**9


def test_owners_are_ids_or_names_of_the_base() -> None:
    base = trees.with_new_file(Directory(), "etc/passwd", b"", 0o644)
    op = operation(trees.with_directory(base, "d", base, owner="7:daemon").tree)
    owner = op.file.actions[-1].copy.owner
    assert owner.user.byID == 7
    assert (owner.group.byName.name, owner.group.byName.input) == ("daemon", 0)
