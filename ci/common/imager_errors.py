"""What the imager says and ends with where it fails.

It reports the error while it works, and repeats it in its last line: up to Talos v1.13 behind `Error: `, with exit code
1; from v1.14 on as it is, with a code for each kind of error (`pkg/machinery/constants`, `Exit…`).
"""

from __future__ import annotations

from typing import Final

_PREFIX: Final = "Error: "
#: Exit code → what it means. Codes that no kind of error has are left out.
_KINDS: Final = {
    2: "the profile, or an argument, is not valid",
    3: "it does not support what was requested",
    4: "its surroundings lack something",
    5: "an image, a key or a program that it needs failed",
    6: "a file can't be read or written",
    7: "the installation into the disk image failed",
}
#: A crash of a Go program ends with 2 as well.
_CRASH: Final = ("panic: ", "fatal error: ", "goroutine ")


def is_imager(command: list[str]) -> bool:
    """Return whether a command line runs the imager, itself or by way of another program."""
    return any(word.rpartition("/")[2] == "imager" for word in command[:2])


def kind_of(code: int, stderr: str) -> str | None:
    """Return what an exit code of the imager means; `None` where it says nothing."""
    crashed = any(line.startswith(_CRASH) for line in stderr.splitlines())
    return None if crashed else _KINDS.get(code)


def complaint(stderr: str) -> str:
    """Return the error that the imager ended with, of any version; the empty text where it said nothing."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1].removeprefix(_PREFIX) if lines else ""


def without_repetition(lines: list[str]) -> list[str]:
    """Return output without the last line where it repeats the one before."""
    if len(lines) > 1 and lines[-1].removeprefix(_PREFIX).strip() == lines[-2].strip():
        return lines[:-1]
    return lines
