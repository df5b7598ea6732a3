"""Serving the Matchbox image to the machine that boots from it."""

from __future__ import annotations

import json

from ci.boot.matchbox import add_arguments, command
from ci.boot.ways import Way
from tests.unit.boot.requests import request


def test_it_serves_the_images_own_files_to_the_machine_only() -> None:
    assert command(request(Way.NETBOOT, matchbox=("/matchbox",)), "/assets/root") == [
        *("chroot", "/assets/root", "/matchbox", "-address=127.0.0.1:8080"),
        *("-data-path=/var/lib/matchbox", "-assets-path=/var/lib/matchbox/assets", "-log-level=debug"),
    ]


def test_the_profile_gets_further_arguments_and_keeps_its_own() -> None:
    profile = {"id": "default", "boot": {"kernel": "/assets/vmlinuz", "initrd": ["/assets/i"], "args": ["a", "b=1"]}}
    added = json.loads(add_arguments(json.dumps(profile), ("console=ttyAMA0", "c")))
    assert added["boot"].pop("args") == ["a", "b=1", "console=ttyAMA0", "c"]
    assert added == {"id": "default", "boot": {"kernel": "/assets/vmlinuz", "initrd": ["/assets/i"]}}
