"""Which commit a checkout is at, and when that was made: `python -m ci.commit FOLDER` prints it as JSON.

Reads the repository itself (dulwich), so that no git program is needed where it runs. A folder that is no repository,
or has not the commit's object, prints an empty object: then the date has to come from elsewhere.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dulwich.errors import NotGitRepository
from dulwich.objects import Commit
from dulwich.repo import Repo


def describe(folder: Path) -> dict[str, str | int]:
    """Return `commit` (40 hexadecimal digits) and `date` (seconds since 1970), as far as the folder tells them."""
    try:
        repository = Repo(str(folder))
    except NotGitRepository:
        return {}
    try:
        head = repository.head()
        found = repository[head]
    except (KeyError, ValueError, OSError):
        return {}
    date = {"date": found.commit_time} if isinstance(found, Commit) else {}
    return {"commit": head.decode(), **date}


def main(arguments: list[str]) -> int:
    """Print what the folder tells."""
    print(json.dumps(describe(Path(arguments[0]))))  # the caller reads it
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
