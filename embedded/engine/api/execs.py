"""`Container.withExec`: a container and a command become one exec of BuildKit.

Every command is run by the exec helper (`embedded/tools/exec`), which does what BuildKit's definition has no word for:
standard input, redirects, output that is kept beside the cached result, secrets scrubbed from the logs. It and the
folder for that output are mounted below `/dev`, which no image brings along, so that no trace stays in the root.
"""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import dataclass, replace

from embedded.engine import llb
from embedded.engine.api import trees
from embedded.engine.api.context import HELPER_PATH, Engine
from embedded.engine.api.values import CacheVolume, Container, Directory, File, LastExec, MountPoint

OUTPUT_MOUNT = "/dev/.exec/out"
OUTPUT_FOLDER = "kept"
OWNED_FOLDER = "/owned"
"""Folder of a cache volume with an owner that holds its files."""
CA_PATH = "/dev/.exec/ca.pem"
STDIN_PATH = "/dev/.exec/stdin"
CA_SECRET = "host-ca-bundle"  # noqa: S105  an id
API_PORT = 39741
"""Port in the container at which an exec finds the session's API; always the same, for the sake of cache keys."""
API_PORT_NAME, API_TOKEN_NAME = "DAGGER_SESSION_PORT", "DAGGER_SESSION_TOKEN"
API_SOCKET = "/dev/.exec/session.sock"
API_ID = "session"
"""Of the socket that leads to the session's API, and of the secret with its token."""
INLINE_STDIN = 32 << 10
"""Bytes of standard input that travel in the helper's argument; the kernel takes 128 KiB in one."""

_ABOUT = re.compile(r"^ *(?:kind|platform|arch): ([\w.-]{1,40})$", re.MULTILINE)
"""Lines of a YAML document on standard input by which two runs of one program can be told apart."""

_CARRIED = re.compile(r"^ *- tarballPath: \S*/([\w.+-]{1,60})\.tar$", re.MULTILINE)
"""Lines of such a document that name what goes in: runs for different extensions are different steps."""
_NAMED = 3
"""So many of them are named."""

# the helper may run as any user, and the root of an empty mount belongs to root
_OUTPUT = llb.file_op(llb.SCRATCH, [trees.make_folder("/" + OUTPUT_FOLDER, 0o777)], "make room for the output")


@dataclass(frozen=True)
class Command:
    """What `withExec` was asked for, expanded."""

    args: tuple[str, ...]
    stdin: str = ""
    redirect_stdin: str = ""
    redirect_stdout: str = ""
    redirect_stderr: str = ""
    expect: str = "SUCCESS"
    insecure: bool = False
    nested: bool = False
    """Whether the command is given the session's API."""


def cache_id(volume: CacheVolume, owner: str) -> str:
    return "/".join(["cozystack-talos", volume.key, *([owner] if owner else [])])


def _mount(point: MountPoint) -> llb.Mount:
    match point.kind:
        case "directory":
            assert isinstance(point.source, Directory)
            return llb.Mount(
                point.path, tree=point.source.tree, selector=point.source.path, writable=not point.read_only
            )
        case "file":
            # changes are dropped, and so BuildKit keys the exec by the file's content, not by where it came from
            assert isinstance(point.source, File)
            return llb.Mount(point.path, tree=point.source.tree, selector=point.source.path)
        case "cache":
            assert point.cache is not None
            seed = point.cache.source or (point.source if isinstance(point.source, Directory) else None)
            tree = trees.rooted(seed).tree if seed else llb.SCRATCH
            inside = ""
            if point.owner:
                # the root of a tree belongs to root, whatever is done to it
                inside = OWNED_FOLDER
                tree = llb.file_op(llb.SCRATCH, _seed(seed, point.owner), "seed the cache")
            return llb.Mount(
                point.path,
                "cache",
                tree,
                selector=inside,
                cache_id=cache_id(point.cache, point.owner),
                sharing=point.sharing,
            )
        case "secret":
            assert point.secret is not None
            user, _, group = (point.owner or "0:0").partition(":")
            return llb.Mount(
                point.path,
                "secret",
                secret_id=point.secret.secret_id,
                owner=(int(user), int(group)),
                mode=point.mode,
            )
        case _:
            return llb.Mount(point.path, "tmpfs", size=point.size)


def _seed(seed: Directory | None, owner: str) -> list[llb.FileAction]:
    filled = [trees.copy(seed, OWNED_FOLDER, owner=owner)] if seed and not seed.is_empty else []
    return [trees.make_folder(OWNED_FOLDER, 0o755, owner), *filled]


def spec_of(container: Container, command: Command, ca: bool) -> dict[str, object]:
    """The exec helper's instructions (see `embedded/tools/exec`), without what is not asked for."""
    given = {
        "out": posixpath.join(OUTPUT_MOUNT, OUTPUT_FOLDER),
        "expect": command.expect,
        "stdin": command.stdin if len(command.stdin.encode()) <= INLINE_STDIN else "",
        "redirectStdin": command.redirect_stdin or (STDIN_PATH if _large(command) else ""),
        "redirectStdout": command.redirect_stdout,
        "redirectStderr": command.redirect_stderr,
        "scrubEnv": [name for name, _ in _secret_env(container, command)],
        "scrubFiles": [point.path for point in container.mounts if point.kind == "secret"],
        "ca": CA_PATH if ca else "",
        "combined": True,
        "forward": {"listen": f"127.0.0.1:{API_PORT}", "socket": API_SOCKET} if command.nested else None,
    }
    return {key: value for key, value in given.items() if value}


def _env(container: Container, command: Command) -> tuple[str, ...]:
    settings = container.settings.with_env(API_PORT_NAME, str(API_PORT)) if command.nested else container.settings
    return tuple(f"{name}={value}" for name, value in settings.env)


def _secret_env(container: Container, command: Command) -> tuple[tuple[str, str], ...]:
    given = tuple((name, secret.secret_id) for name, secret in container.secret_env)
    return (*given, (API_TOKEN_NAME, API_ID)) if command.nested else given


async def offer_api(engine: Engine) -> None:
    """Let execs reach the session's API: containers can't reach the host's loopback, so BuildKit carries it."""
    port, token = engine.nested
    async with engine.lock(API_ID):
        if API_ID not in engine.offered:
            await engine.attachables.offer_socket(API_ID, f"127.0.0.1:{port}")
            await engine.attachables.offer_secret(API_ID, token.encode())
            engine.offered.add(API_ID)


def _large(command: Command) -> bool:
    return len(command.stdin.encode()) > INLINE_STDIN


def with_exec(engine: Engine, container: Container, command: Command) -> Container:
    """The container after the command; nothing runs until something of it is asked for."""
    ca = engine.ca_bundle is not None
    points = [_mount(point) for point in container.mounts]
    helpers = [
        llb.Mount(OUTPUT_MOUNT, tree=_OUTPUT, writable=True),
        llb.Mount(HELPER_PATH, tree=engine.helper, selector="/exec-helper"),
    ]
    if ca:
        helpers.append(llb.Mount(CA_PATH, "secret", secret_id=CA_SECRET, mode=0o444))
    if command.nested:
        helpers.append(llb.Mount(API_SOCKET, "ssh", secret_id=API_ID, mode=0o666))
    if _large(command):
        text = trees.with_new_file(Directory(), "stdin", command.stdin.encode(), 0o444)
        helpers.append(llb.Mount(STDIN_PATH, tree=text.tree, selector="/stdin"))
    spec = json.dumps(spec_of(container, command, ca), sort_keys=True, ensure_ascii=False)
    _, outputs = llb.exec_op(
        llb.Exec(
            args=(HELPER_PATH, spec, *command.args),
            env=_env(container, command),
            cwd=container.absolute("."),
            user=container.settings.user,
            mounts=(llb.Mount("/", tree=container.root, writable=True), *helpers, *points),
            secret_env=_secret_env(container, command),
            insecure=command.insecure,
            platform=container.platform,
            name=f"exec {_label(command)}",
        )
    )
    root, kept, after = outputs[0], outputs[1], outputs[1 + len(helpers) :]
    assert root is not None
    assert kept is not None
    return replace(
        container,
        root=root,
        mounts=tuple(_after(point, tree) for point, tree in zip(container.mounts, after, strict=True)),
        last=LastExec(kept),
        image_ref="",
    )


def _after(point: MountPoint, tree: llb.Output | None) -> MountPoint:
    if tree is None or not isinstance(point.source, Directory):
        return point
    return replace(point, source=Directory(tree, point.source.path))


def _label(command: Command) -> str:
    """Name a command by its words, and by what its standard input is about: the imager's profiles say that."""
    text = " ".join(command.args).replace("\n", " ")
    text = text if len(text) <= 100 else text[:99] + "…"
    if len(command.stdin) > INLINE_STDIN:
        return text
    about = " ".join(dict.fromkeys(_ABOUT.findall(command.stdin)))
    carried = _CARRIED.findall(command.stdin)
    more = [f"and {len(carried) - _NAMED} more"] if len(carried) > _NAMED else []
    names = f"({' '.join([', '.join(carried[:_NAMED]), *more])})" if carried else ""
    return " ".join([text, *(part for part in ("<" if about or names else "", about, names) if part)])
