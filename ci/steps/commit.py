"""Which commit a checkout is at, and when that was made: `python -m ci.steps.commit FOLDER` prints it as JSON.

Reads the repository itself (dulwich), so that no git program is needed where it runs. What the folder does not tell is
left out: all where it is no repository, the date where the commit's object is not in it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dulwich.errors import FileFormatException, NotGitRepository
from dulwich.objects import Commit, valid_hexsha
from dulwich.repo import Repo


def describe(folder: Path) -> dict[str, str | int]:
    """Return `commit` (40 hexadecimal digits) and `date` (seconds since 1970), as far as the folder has them."""
    try:
        repository = Repo(str(folder))
        commit = repository.head()
    except (NotGitRepository, FileFormatException, KeyError, ValueError, OSError):
        return {}
    if not valid_hexsha(commit):
        return {}
    try:
        found = repository[commit]
    except Exception:
        return {"commit": commit.decode()}  # the object is elsewhere, or broken in one of many ways
    return {"commit": commit.decode(), **({"date": found.commit_time} if isinstance(found, Commit) else {})}


def main(arguments: list[str]) -> int:
    """Print what the folder has."""
    print(json.dumps(describe(Path(arguments[0]))))  # the caller reads it
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
