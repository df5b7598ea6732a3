"""A client of container registries, for what Dagger's `publish` does not do: by digest first, referrers, tags last.

Speaks the OCI distribution specification, version 1.1 (https://github.com/opencontainers/distribution-spec). It runs in
the function's own process, so a registry has to be reachable from there.
"""
