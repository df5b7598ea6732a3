"""BuildKit's protobuf messages, compiled at set-up from the `.proto` files of its own Go module.

They are generated, so they have no types here; `llb.py` and `buildkit.py` are the only ones that touch them.
"""
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportMissingModuleSource=false

from __future__ import annotations

import sys
from typing import Any

from embedded.setup.paths import paths

sys.path.append(str(paths().protos))

from github.com.moby.buildkit.api.services.control import control_pb2
from github.com.moby.buildkit.frontend.gateway.pb import gateway_pb2
from github.com.moby.buildkit.solver.pb import ops_pb2
from google.rpc import status_pb2

control: Any = control_pb2
gateway: Any = gateway_pb2
pb: Any = ops_pb2
rpc_status: Any = status_pb2
