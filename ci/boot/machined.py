"""The sequences and volumes that machined reports: what it is doing, and what failed.

A sequence has phases, a phase has tasks that run in parallel. A task that fails ends its phase and its sequence, and
machined restarts the machine or stays as it is. Sources: Talos v1.11 to v1.14, internal/app/machined/pkg
(runtime/v1alpha1/v1alpha1_controller.go, v1alpha1_sequencer_tasks.go, controllers/block/volume_manager.go).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from ci.boot.console import clean

_TASK = re.compile(r"^\[talos\] task (?P<name>\S+) \((?P<at>\d+/\d+)\): (?P<message>.*)$")
_PHASE = re.compile(r"^\[talos\] phase (?P<name>\S+) \((?P<at>\d+/\d+)\): (?P<message>.*)$")
_SEQUENCE = re.compile(r"^\[talos\] (?P<name>\S+) sequence: (?P<message>.*)$")
_ERROR = re.compile(r"^\[talos\] error running phase \d+ in (?P<sequence>\S+) sequence: (?P<message>.*)$")
#: Tasks on the user's own disks and files wait after a failure, so that the configuration can be corrected.
_PAUSED = re.compile(r"^(?P<task>\S+) failed, rebooting in \d+ minutes")
_COUNT = re.compile(r"(?P<count>\d+) errors? occurred:\s*$")
_REASON = re.compile(r"^\s*\* (?P<reason>.+)$")
_TALOS = "[talos]"
#: Reasons and errors that are kept of one failure.
_MOST: Final = 20

_VOLUME = re.compile(r"^\[talos\] (?:.*?: )?volume status (?P<fields>\{.*)$")
_FIELD = re.compile(r'"(?P<key>volume|phase|error)": "(?P<value>(?:[^"\\]|\\.)*)"')


@dataclass
class Failure:
    """A task, a phase or a sequence that failed."""

    where: str
    text: str = ""
    #: The number of reasons that follow, each on its own line.
    expected: int = 0
    reasons: list[str] = field(default_factory=list[str])

    @property
    def lines(self) -> list[str]:
        """What failed, and why."""
        return [
            f"{self.where}: failed" + (f": {self.text}" if self.text else ""),
            *(f"* {one}" for one in self.reasons),
        ]


@dataclass
class Sequences:
    """The sequences of a console, in the order of its lines."""

    sequence: str = ""
    phase: str = ""
    #: The tasks that run, with the last message of each.
    tasks: dict[str, str] = field(default_factory=dict[str, str])
    failures: list[Failure] = field(default_factory=list[Failure])
    #: Whether a sequence has failed: machined starts nothing after it.
    ended: bool = False

    def feed(self, message: str) -> tuple[str, ...] | None:
        """Take a message of the console; return a key for its news, which is progress where it was not seen before."""
        if match := _TASK.match(message):
            return self._task(match["name"], match["at"], match["message"])
        if match := _PHASE.match(message):
            return self._phase(match["name"], match["at"], match["message"])
        if match := _SEQUENCE.match(message):
            return self._sequence(match["name"], match["message"])
        if match := _ERROR.match(message):
            self._error(match["sequence"], match["message"])
        else:
            self._reason(message)
        return None

    def _task(self, name: str, at: str, message: str) -> tuple[str, ...] | None:
        title = f"task {name} ({at})"
        word = message.partition(",")[0].partition(":")[0]
        if word == "done":
            self.tasks.pop(title, None)
        elif word == "failed":
            self.tasks.pop(title, None)
            self._fail(title, message.partition(":")[2].strip())
        elif _PAUSED.match(message):
            self.ended = True
            self._fail(title, message, expected=1)
        else:
            self.tasks[title] = message
            if message != "starting":
                return None  # A task that waits repeats itself.
        return ("task", self.sequence, title, word)

    def _phase(self, name: str, at: str, message: str) -> tuple[str, ...]:
        title = f"phase {name} ({at})"
        if message.startswith("failed"):
            if not any(title in one.where for one in self.failures):
                self._fail(title, "", inside=False)
        else:
            self.phase = "" if message.startswith("done") else title
            self.tasks.clear()
        return ("phase", self.sequence, title, message.partition(",")[0])

    def _sequence(self, name: str, message: str) -> tuple[str, ...]:
        word = message.partition(":")[0]
        if word == "failed":
            self.sequence, self.ended = name, True
            if not any(one.where.startswith(f"{name} sequence") for one in self.failures):
                self._fail("", "", inside=False)
        else:
            self.sequence, self.phase = ("" if word == "done" else name), ""
            self.tasks.clear()
        return ("sequence", name, word)

    def _error(self, sequence: str, message: str) -> None:
        """Take the error of a whole sequence, which repeats the errors of its tasks."""
        self.ended = True
        self.sequence = sequence
        known = [
            one for one in self.failures if one.where.startswith(f"{sequence} sequence") and (one.text or one.reasons)
        ]
        if not known:
            self.failures = [one for one in self.failures if not one.where.startswith(f"{sequence} sequence")]
            self._fail("", re.sub(r"^(?:task \d+/\d+: failed, )", "", message))

    def _fail(self, title: str, text: str, *, expected: int = 0, inside: bool = True) -> None:
        place = [f"{self.sequence} sequence" if self.sequence else "", self.phase if inside else "", title]
        failure = Failure(", ".join(part for part in place if part), text, expected)
        if match := _COUNT.search(text):
            failure.expected = int(match["count"])
        self.failures.append(failure)

    def _reason(self, message: str) -> None:
        """Take a reason. Reasons follow a failure, each on its own line; other lines can come between them."""
        for failure in reversed(self.failures):
            if len(failure.reasons) >= min(failure.expected, _MOST):
                continue
            if match := _REASON.match(message):
                failure.reasons.append(match["reason"])
            elif failure.text.rstrip().endswith("error:") and message.strip() and not message.startswith(_TALOS):
                failure.reasons.append(message.strip())
            return

    @property
    def doing(self) -> str:
        """What machined is doing, in words; nothing between two sequences."""
        place = ", ".join(part for part in (f"{self.sequence} sequence" if self.sequence else "", self.phase) if part)
        tasks = "; ".join(f"{title}: {message}" for title, message in self.tasks.items())
        return ": ".join(part for part in (place, tasks) if part)


@dataclass
class Volumes:
    """The volumes that a console names."""

    phases: dict[str, str] = field(default_factory=dict[str, str])
    #: What went wrong with each, each error once.
    errors: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def feed(self, message: str) -> tuple[str, ...] | None:
        """Take a message of the console; return a key for its news, which is progress where it was not seen before."""
        match = _VOLUME.match(message)
        if not match:
            return None
        given = _fields(match["fields"])
        name, phase = given.get("volume", ""), given.get("phase", "").rpartition(" -> ")[2]
        if not name or not phase:
            return None
        self.phases[name] = phase
        errors = self.errors.setdefault(name, [])
        error = clean(" ".join(given.get("error", "").split()))
        if error and error not in errors and len(errors) < _MOST:
            errors.append(error)
        return ("volume", name, phase)

    def failed(self) -> list[str]:
        """Return the volumes that have failed, with what went wrong first."""
        return [
            f"volume {name}: {error}"
            for name, phase in self.phases.items()
            if phase == "failed"
            for error in (self.errors[name] or ["it failed, and the console does not say why"])
        ]


def _fields(text: str) -> dict[str, str]:
    """Return the fields of a controller's line; of one that is cut off, those that are whole."""
    try:
        document: dict[str, Any] = json.loads(text)
    except ValueError:
        return {match["key"]: match["value"].replace(r"\n", " ") for match in _FIELD.finditer(text)}
    return {key: value for key, value in document.items() if isinstance(value, str)}
