"""Put a secret into a text in place of its placeholder.

`python -m ci.steps.fill IN OUT --placeholder TEXT --secret FILE`

Runs in a container that has the secret as a file, so that it is in no argument, no environment and no log.
Ends with 0, or with 1 and one line that does not show the secret; nothing is left at OUT then.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

#: What keys and tokens are made of; none of it means anything to YAML inside of a word.
_KEY = re.compile(r"[A-Za-z0-9._~?&=:/+-]+")


class FillError(Exception):
    """A secret or a text is not as it has to be."""


def fill(text: str, placeholder: str, secret: str) -> str:
    """Return the text with the secret in place of the placeholder, which has to be there."""
    value = secret.strip()
    if not _KEY.fullmatch(value):
        raise FillError(
            f"what is given for {placeholder} is empty or has a character that no key has: is it the right secret?"
        )
    if placeholder not in text:
        raise FillError(f"{placeholder} is not in the text")
    return text.replace(placeholder, value)


def main(arguments: list[str]) -> int:
    """Fill a file, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ci.steps.fill", description="Puts a secret into a text.")
    parser.add_argument("source", type=Path, metavar="IN")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--placeholder", required=True, help="the text that the secret takes the place of")
    parser.add_argument("--secret", type=Path, required=True, help="file with the secret")
    given = parser.parse_args(arguments)
    try:
        text = fill(given.source.read_text("utf-8"), given.placeholder, given.secret.read_text("utf-8"))
    except UnicodeDecodeError:  # whose text would show the bytes
        print(f"error: what is given for {given.placeholder} is no text: is it the right secret?", file=sys.stderr)
        return 1
    except (FillError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    given.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
