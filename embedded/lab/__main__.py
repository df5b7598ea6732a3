"""`./daggerw --engine lab build|list|remove|publish|checkout`: the lab by hand."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence

from embedded import lab
from embedded.lab.progress import display


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="daggerw --engine lab", description="The stand-in upstream, by hand.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="make what is missing")
    build.add_argument("names", nargs="*", help="image references; all when left out")
    build.add_argument("--for-builds", action="store_true", help="what a build of any variant asks for")
    build.add_argument("--without-compiling", action="store_true", help="leave out what takes a Go compiler")
    commands.add_parser("list", help="list the images and their digests")
    remove = commands.add_parser("remove", help="forget images, so that they are made again")
    remove.add_argument("names", nargs="+")
    publish = commands.add_parser("publish", help="tell a registry that serves the lab's blobs which images there are")
    publish.add_argument("registry", help="127.0.0.1:PORT")
    commands.add_parser("known", help="write the list of what is known beforehand anew, after a change of the contents")
    checkout = commands.add_parser("checkout", help="print the folder that stands in for a checkout of CozyStack")
    checkout.add_argument("talos", nargs="?", default="v1.13.6", help="the Talos version of its profiles")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what runs ends with this process
    try:
        match given.command:
            case "build":
                _build(given)
            case "remove":
                for recipe in given.names:
                    lab.builder().stamp(recipe).unlink(missing_ok=True)
            case "known":
                _write_known()
            case "publish":
                lab.publish(given.registry)
            case "checkout":
                path = lab.checkout_path(given.talos)
                with display() as progress:
                    lab.ensure([f"part/checkout/{given.talos}"], progress=progress)
                print(path)
            case _:
                made = lab.builder().made()
                for name in lab.images():
                    print(name, made[name].value["image"]["digest"] if name in made else "(not made)")
    except KeyboardInterrupt:
        print("lab: interrupted; the next build goes on where this one stopped", file=sys.stderr)
        return 130
    except lab.LabError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _build(given: argparse.Namespace) -> None:
    names = lab.for_builds() if given.for_builds else given.names or None
    if given.without_compiling:
        names = lab.builder().without_compiling(names or lab.every())
    with display() as progress:
        lab.ensure(names, progress=progress, architectures=[] if given.for_builds else None)


def _write_known() -> None:
    from embedded.lab.contents import extensions, seeded

    seeded.KNOWN.write_text(json.dumps(seeded.computed(extensions.seeds()), indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
