"""Dagger's API, answered by BuildKit: a session server and the graph that it builds."""

import os

# gRPC would write a line for every child process that is started; children here only ever exec
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

DAGGER_VERSION = "v0.21.8"
"""The Dagger release whose API and command line are answered."""
