"""Container images as OCI layouts whose bytes follow from their contents alone: `python -m ci.steps.oci` makes them.

A builder's export dates an image by its cache, so that the same image built elsewhere has another digest. Here layers,
configuration and manifest hold no time but the given one; a base's layers are taken over as they are.
Format: https://github.com/opencontainers/image-spec, version 1.1.
"""
