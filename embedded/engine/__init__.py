"""Dagger's API, answered by BuildKit: a session server and the graph that it builds."""

DAGGER_VERSION = "v0.21.8"
"""The Dagger release whose API and command line are answered."""
