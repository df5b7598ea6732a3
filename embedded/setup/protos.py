"""BuildKit's protobuf messages and services as Python modules, compiled from the files of its own Go module."""

from __future__ import annotations

import json
from pathlib import Path

from embedded.setup.golang import TOOLS, go_environment
from embedded.setup.paths import paths
from embedded.setup.steps import Job, Step, remove

# Go modules whose .proto files are imported, and the folder of each that the imports count from.
_MODULES = {
    "github.com/moby/buildkit": "",
    "github.com/tonistiigi/fsutil": "",
    "github.com/planetscale/vtprotobuf": "include/github.com/planetscale/vtprotobuf",
}
_MESSAGES = (
    "github.com/moby/buildkit/api/types/worker.proto",
    "github.com/moby/buildkit/solver/errdefs/errdefs.proto",
    "github.com/moby/buildkit/solver/pb/ops.proto",
    "github.com/moby/buildkit/sourcepolicy/pb/policy.proto",
    "github.com/moby/buildkit/util/apicaps/pb/caps.proto",
    "github.com/planetscale/vtprotobuf/vtproto/ext.proto",
    "github.com/tonistiigi/fsutil/types/stat.proto",
)
_SERVICES = (
    "github.com/moby/buildkit/api/services/control/control.proto",
    "github.com/moby/buildkit/frontend/gateway/pb/gateway.proto",
)


def protos_step(go: Path) -> Step:
    """The compiled messages; the compiler is in the engine's environment."""

    def build(folder: Path, job: Job) -> None:
        sources = folder / ".sources"
        download = job.run(go, "mod", "download", "-json", *_MODULES, env=go_environment(go), cwd=TOOLS)
        for module, inside in _MODULES.items():
            link = sources / module
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(Path(downloaded(download)[module]) / inside)
        compile_protos(sources, folder, job)
        remove(sources)

    return Step("BuildKit's messages", paths().protos, build)


def downloaded(output: str) -> dict[str, str]:
    """Module → folder, from the JSON objects of `go mod download -json`, which follow one another."""
    decoder, found, rest = json.JSONDecoder(), dict[str, str](), output[output.index("{") :]
    while rest.startswith("{"):
        module, end = decoder.raw_decode(rest)
        found[module["Path"]] = module["Dir"]
        rest = rest[end:].lstrip()
    return found


def compile_protos(sources: Path, folder: Path, job: Job) -> None:
    """Compile all messages below `sources` into modules below `folder`."""
    # google/rpc/status.proto and google/protobuf/*.proto lie in packages of the engine's environment.
    python = paths().venv / "bin/python"
    (site,) = (paths().venv / "lib").glob("python3*/site-packages")
    includes = [f"-I{place}" for place in (sources, site, site / "grpc_tools/_proto")]
    protoc = (python, "-m", "grpc_tools.protoc", *includes)
    job.run(*protoc, f"--python_out={folder}", *_MESSAGES, *_SERVICES)
    job.run(*protoc, f"--grpc_python_out={folder}", *_SERVICES)
    job.run(python, "-m", "compileall", "-q", folder)
