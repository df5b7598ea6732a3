"""The CI files of all vendors: one description, a template a file, and the same two calls in each.

`files()` renders them; `dagger call ci-files` writes them. A template lies at its file's own path below `templates/`.
"""

from ci.upkeep.render import PATHS, files

__all__ = ["PATHS", "files"]
