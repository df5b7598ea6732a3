"""BuildKit's low-level build definitions as immutable values: vertices, their outputs, and the operations.

A vertex is known by the digest of its marshalled operation, which holds the digests of its inputs: equal graphs are
equal values, and BuildKit's cache keys follow from them. `SCRATCH` stands for an empty filesystem.
Source of the format: `solver/pb/ops.proto` of BuildKit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from embedded.engine.protos import pb

SCRATCH_INPUT = -1
NO_TIMESTAMP = -1
"""In file actions: keep the time as it comes."""


@dataclass(frozen=True)
class Vertex:
    """One marshalled operation."""

    digest: str
    data: bytes = field(repr=False, compare=False)
    inputs: tuple[Output, ...] = field(repr=False, compare=False)
    name: str = field(default="", compare=False)
    insecure: bool = field(default=False, repr=False, compare=False)
    """Whether it, or anything that it needs, is a privileged exec: who solves it must ask for that right."""


@dataclass(frozen=True)
class Output:
    """One filesystem that a vertex gives; without a vertex it is the empty one."""

    vertex: Vertex | None = None
    index: int = 0


SCRATCH = Output()


def _vertex(op: Any, inputs: Sequence[Output], name: str, *, insecure: bool = False) -> Vertex:
    for given in inputs:
        assert given.vertex is not None
        insecure = insecure or given.vertex.insecure
        op.inputs.add(digest=given.vertex.digest, index=given.index)
    data: bytes = op.SerializeToString(deterministic=True)
    return Vertex("sha256:" + hashlib.sha256(data).hexdigest(), data, tuple(inputs), name, insecure)


def set_platform(op: Any, platform: str) -> None:
    """Write `linux/arm64` or `linux/arm/v7` into an operation."""
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    op.platform.OS, op.platform.Architecture, op.platform.Variant = system, architecture, variant


def source(identifier: str, attrs: Mapping[str, str], platform: str = "", name: str = "") -> Output:
    """A source: `docker-image://…`, `local://…`, `git://…`, `https://…`, `oci-layout://…`."""
    op = pb.Op(source=pb.SourceOp(identifier=identifier, attrs=dict(attrs)))
    if platform:
        set_platform(op, platform)
    return Output(_vertex(op, (), name or identifier))


@dataclass(frozen=True)
class FileAction:
    """One step of a file operation; `secondary` is the tree that a copy takes from."""

    kind: str
    fields: tuple[tuple[str, Any], ...]
    secondary: Output | None = None


def file_action(kind: str, *, secondary: Output | None = None, **fields: Any) -> FileAction:
    """Name an action (`copy`, `mkfile`, `mkdir`, `rm`, `symlink`) and the fields of its message."""
    return FileAction(kind, tuple(fields.items()), secondary)


def file_op(base: Output, actions: Iterable[FileAction], name: str) -> Output:
    """Apply file actions one after the other to a tree."""
    inputs: list[Output] = []

    def input_of(tree: Output | None) -> int:
        if tree is None or tree.vertex is None:
            return SCRATCH_INPUT
        if tree not in inputs:
            inputs.append(tree)
        return inputs.index(tree)

    steps = list(actions)
    first = input_of(base)
    seconds = [input_of(step.secondary) for step in steps]
    op = pb.Op(file=pb.FileOp())
    for number, step in enumerate(steps):
        action = op.file.actions.add(
            input=first if number == 0 else len(inputs) + number - 1,
            secondaryInput=seconds[number],
            output=0 if number == len(steps) - 1 else -1,
        )
        target = getattr(action, step.kind)
        target.SetInParent()
        for key, value in step.fields:
            _assign(target, key, value, first)
    set_platform(op, "linux/amd64")  # a file operation runs on the worker; its result has no architecture
    return Output(_vertex(op, inputs, name))


def _assign(message: Any, key: str, value: Any, base: int) -> None:
    if key == "owner":
        if value:
            _set_owner(message.owner, value, base)
    elif isinstance(value, (list, tuple)):
        getattr(message, key).extend(value)
    else:
        setattr(message, key, value)


def _set_owner(owner: Any, text: str, base: int) -> None:
    """`user` or `user:group`: a number is an id, a name is looked up in the base tree's `/etc/passwd`."""
    user, _, group = text.partition(":")
    for part, value in ((owner.user, user), (owner.group, group or user)):
        if value.isdigit():
            part.byID = int(value)
        else:
            part.byName.name, part.byName.input = value, base


def merge(trees: Sequence[Output], name: str = "merge") -> Output:
    """Lay trees over one another, the last on top."""
    filled = [tree for tree in trees if tree.vertex is not None]
    if len(filled) < 2:
        return filled[0] if filled else SCRATCH
    op = pb.Op(merge=pb.MergeOp())
    for number in range(len(filled)):
        op.merge.inputs.add(input=number)
    return Output(_vertex(op, filled, name))


def diff(lower: Output, upper: Output, name: str = "diff") -> Output:
    """What came or changed from `lower` to `upper`."""
    if upper.vertex is None:
        return SCRATCH
    inputs = [tree for tree in (lower, upper) if tree.vertex is not None]
    op = pb.Op(diff=pb.DiffOp())
    op.diff.lower.input = inputs.index(lower) if lower.vertex is not None else SCRATCH_INPUT
    op.diff.upper.input = len(inputs) - 1
    return Output(_vertex(op, inputs, name))


@dataclass(frozen=True)
class Mount:
    """One mount of an exec. `kind`: bind, cache, tmpfs, secret, ssh. `writable` binds give an output."""

    dest: str
    kind: str = "bind"
    tree: Output = SCRATCH
    selector: str = ""
    writable: bool = False
    cache_id: str = ""
    sharing: str = "SHARED"
    secret_id: str = ""
    owner: tuple[int, int] = (0, 0)
    mode: int = 0o400
    size: int = 0


@dataclass(frozen=True)
class Exec:
    """A command in a container. The first mount is the root filesystem."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str
    mounts: tuple[Mount, ...]
    secret_env: tuple[tuple[str, str], ...] = ()
    insecure: bool = False
    platform: str = ""
    name: str = ""


def exec_op(spec: Exec) -> tuple[Vertex, tuple[Output | None, ...]]:
    """The exec's vertex, and for each mount the tree after it (None where it gives none)."""
    op = pb.Op(exec=pb.ExecOp())
    meta = op.exec.meta
    meta.args.extend(spec.args)
    meta.env.extend(spec.env)
    meta.cwd, meta.user = spec.cwd, spec.user
    meta.removeMountStubsRecursive = True
    inputs: list[Output] = []
    indices: list[int | None] = []
    for mount in spec.mounts:
        indices.append(_add_mount(op.exec, mount, inputs, sum(i is not None for i in indices)))
    for name, secret_id in spec.secret_env:
        op.exec.secretenv.add(ID=secret_id, name=name)
    if spec.insecure:
        op.exec.security = pb.INSECURE
    if spec.platform:
        set_platform(op, spec.platform)
    vertex = _vertex(op, inputs, spec.name, insecure=spec.insecure)
    return vertex, tuple(None if i is None else Output(vertex, i) for i in indices)


def _add_mount(exec_: Any, mount: Mount, inputs: list[Output], next_output: int) -> int | None:
    number = SCRATCH_INPUT
    if mount.tree.vertex is not None:
        if mount.tree not in inputs:
            inputs.append(mount.tree)
        number = inputs.index(mount.tree)
    message = exec_.mounts.add(dest=mount.dest, input=number, selector=mount.selector, output=-1)
    if mount.kind == "bind":
        if mount.writable:
            message.output = next_output
            return next_output
        message.readonly = True
    elif mount.kind == "cache":
        message.mountType = pb.CACHE
        message.cacheOpt.ID = mount.cache_id
        message.cacheOpt.sharing = getattr(pb, mount.sharing)
    elif mount.kind == "tmpfs":
        message.mountType = pb.TMPFS
        message.TmpfsOpt.size = mount.size
    elif mount.kind in ("secret", "ssh"):
        message.mountType = pb.SECRET if mount.kind == "secret" else pb.SSH
        option = message.secretOpt if mount.kind == "secret" else message.SSHOpt
        option.ID, option.mode = mount.secret_id, mount.mode
        option.uid, option.gid = mount.owner
    return None


def vertices(output: Output) -> list[Vertex]:
    """All vertices that an output needs, inputs before those who use them."""
    ordered: dict[str, Vertex] = {}
    stack: list[tuple[Vertex, bool]] = [(output.vertex, False)] if output.vertex else []
    while stack:
        vertex, seen = stack.pop()
        if vertex.digest in ordered:
            continue
        if seen:
            ordered[vertex.digest] = vertex
            continue
        stack.append((vertex, True))
        stack.extend((given.vertex, False) for given in vertex.inputs if given.vertex is not None)
    return list(ordered.values())


def pinned_image(output: Output) -> str:
    """Return the digest of a vertex that is nothing but an image of a digest; empty for all else.

    The vertex has the image's reference and the platform, so that what its files are follows from it.
    """
    vertex = output.vertex
    if vertex is None or vertex.inputs:
        return ""
    op = pb.Op.FromString(vertex.data)
    identifier = op.source.identifier if op.HasField("source") else ""
    return vertex.digest if identifier.startswith("docker-image://") and "@sha256:" in identifier else ""


def definition(output: Output, *, no_cache: frozenset[str] = frozenset()) -> Any:
    """The `pb.Definition` that solves one output."""
    message = pb.Definition()
    for vertex in vertices(output):
        getattr(message, "def").append(vertex.data)
        meta = message.metadata[vertex.digest]
        if vertex.name:
            meta.description["llb.customname"] = vertex.name
        if vertex.digest in no_cache:
            meta.ignore_cache = True
    last = pb.Op()
    if output.vertex is not None:
        last.inputs.add(digest=output.vertex.digest, index=output.index)
        getattr(message, "def").append(last.SerializeToString(deterministic=True))
    return message


__all__ = [
    "NO_TIMESTAMP",
    "SCRATCH",
    "Exec",
    "FileAction",
    "Mount",
    "Output",
    "Vertex",
    "definition",
    "diff",
    "exec_op",
    "file_action",
    "file_op",
    "merge",
    "pinned_image",
    "set_platform",
    "source",
    "vertices",
]
