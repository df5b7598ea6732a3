"""Tell what kind of key a secret is, without showing it.

`python -m ci.steps.key FILE`

Runs in a container that has the secret as a file. Prints the known beginning of the key and its attributes as JSON, and
ends with 0; with 1 and one line where the secret is not a text.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ci.node.keys import kind_of


def main(arguments: list[str]) -> int:
    """Print what may be known of the secret in a file, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ci.steps.key", description="Tells what kind of key a secret is.")
    parser.add_argument("secret", type=Path, metavar="FILE", help="file with the secret")
    given = parser.parse_args(arguments)
    try:
        key = kind_of(given.secret.read_text("utf-8"))
    except UnicodeDecodeError:  # whose text would show the bytes
        print("error: what is given is not text: is it the right secret?", file=sys.stderr)
        return 1
    print(json.dumps({"kind": key.kind, "attributes": dict(key.attributes)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
