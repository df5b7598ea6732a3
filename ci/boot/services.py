"""The services that machined reports: what each waits for, and which of them crash.

Talos starts the services of extensions some seconds after machined itself, with and without a machine configuration.
They wait for services of the base first (containerd, mostly cri) and for the network. Only what remains after that is
missing on the node. Sources: Talos v1.11 to v1.14, internal/app/machined/pkg/system
(service_runner.go, service_events.go, runner/restart), pkg/conditions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

#: Services of extensions are named after this.
EXTENSION: Final = "ext-"
#: The container runtime that most services of extensions wait for; it needs a machine configuration.
CRI: Final = "cri"
#: Seconds after which a service that crashed before, and runs again, counts as recovered.
STEADY: Final = 30.0
#: Crashes after which a service is not expected to recover.
MANY: Final = 3

_LINE = re.compile(r"^\[talos\] (?:.*?: )?service\[(?P<name>[^]]+)\]\((?P<state>[A-Z]\w*)\): (?P<message>.*)$")
_WAITING = "Waiting for "
#: Conditions are joined with commas, and some have commas inside.
_CONDITION = re.compile(
    r"volumes .+? to be mounted"
    r'|service "(?P<service>[^"]*)" to be (?:registered|"[^"]*"|\S+?(?=, |$))'
    r'|\w+ "(?:[^"\\]|\\.)*" to [\w ]+'
    r"|[^,]+"
)
_CRASH = re.compile(r"^Error running (?P<runner>.+?), going to restart(?: (?P<how>[\w ]+))?(?:: (?P<error>.*))?$")
_EXITED = re.compile(r"^Runner (?P<runner>.+?) exited without error, going to restart it")
_LAST_LOG = re.compile(r'\s*\(last log "(?P<words>(?:[^"\\]|\\.)*)"?\)?')
#: States that say nothing of what is missing.
_UP = ("Running", "Finished", "Skipped")
#: Characters that are kept of what a service says.
_MOST_SAID = 300
_HEALTHY, _UNHEALTHY = "Health check successful", "Health check failed"
#: A node without a network can't pull the images of these services, which is not a fault of the booted assets.
_PULLED = ("kubelet", "etcd")


def parse_conditions(message: str, *, whole: bool = True) -> tuple[str, ...]:
    """Return what a service waits for, from its message; of a line that is cut off, without the last one."""
    if not message.startswith(_WAITING):
        return ()
    found = tuple(match[0].strip() for match in _CONDITION.finditer(message[len(_WAITING) :]) if match[0].strip())
    return found if whole else found[:-1]


def parse_words(error: str) -> tuple[str, tuple[str, ...]]:
    """Split the error of a crash into its own text and the service's last words, a line each."""
    match = _LAST_LOG.search(error)
    if not match:
        return error.strip(), ()
    # Go's %q. Other escapes stay, so that no control character reaches a terminal.
    text = match["words"].replace(r"\t", " ").replace(r"\"", '"')
    lines = tuple(line.strip() for line in re.split(r"(?<!\\)\\n", text) if line.strip())
    return error[: match.start()].strip(), tuple(line.replace("\\\\", "\\") for line in lines)


@dataclass
class Service:
    """A service, as the last lines of the console have it."""

    name: str
    state: str = ""
    message: str = ""
    #: What it waits for.
    conditions: tuple[str, ...] = ()
    crashes: int = 0
    #: How it is restarted after a crash: `forever`, `until it succeeds`.
    how: str = ""
    error: str = ""
    healthy: bool = False
    #: When it began to run, while it does.
    running: float | None = None
    #: Seconds of the longest run that ended in a crash.
    longest: float = 0.0

    @property
    def is_extension(self) -> bool:
        """Whether it comes from a system extension."""
        return self.name.startswith(EXTENSION)

    @property
    def is_up(self) -> bool:
        """Whether it runs, or needs to run no longer; services of extensions have no health checks."""
        return self.state in ("Finished", "Skipped") or (
            self.state == "Running" and (self.healthy or self.is_extension)
        )

    def update(self, state: str, message: str, seconds: float, *, whole: bool) -> None:
        """Take the next message about it."""
        crash = _CRASH.match(message) or _EXITED.match(message)
        if crash:
            self.crashes += 1
            self.how = crash.groupdict().get("how") or ""
            self.error = crash.groupdict().get("error") or "it ends without an error"
            if self.running is not None:
                self.longest = max(self.longest, seconds - self.running)
        if state != "Running":
            self.running, self.healthy = None, False
        elif self.running is None:
            self.running = seconds
        if message.startswith((_HEALTHY, _UNHEALTHY)):
            self.healthy = message.startswith(_HEALTHY)
        self.state, self.message = state, message
        self.conditions = parse_conditions(message, whole=whole) if state == "Waiting" else ()

    def is_crashing(self, now: float) -> bool:
        """Return whether it has crashed, and has neither succeeded nor run for long since then."""
        if not self.crashes or self.state == "Finished":
            return False
        return self.running is None or now - self.running < max(STEADY, 3 * self.longest)

    def has_failed(self) -> bool:
        """Return whether it has ended with an error, and is not restarted."""
        return self.state == "Failed" and not (self.name in _PULLED and "pull" in self.message)

    def trouble(self) -> list[str]:
        """Return how it crashes or failed, with its last words."""
        if self.has_failed() and not self.crashes:
            return [f"{self.name} failed: {self.message}"]
        error, words = parse_words(self.error)
        times = "once" if self.crashes == 1 else f"{self.crashes} times"
        how = f"is restarted {self.how}" if self.how else "is restarted"
        lines = [f"{self.name} crashed {times} and {how}: {error}"]
        return [*lines, *(["its last words:", *(f"  {line}" for line in words)] if words else [])]


@dataclass
class Services:
    """All services that a console names."""

    by_name: dict[str, Service] = field(default_factory=dict[str, Service])
    #: Whether the container runtime was ever started.
    cri: bool = False

    def feed(self, message: str, seconds: float, *, whole: bool = True) -> tuple[str, ...] | None:
        """Take a message of the console; return a key for its news, which is progress where it was not seen before."""
        match = _LINE.match(message)
        if not match:
            return None
        name, state = match["name"], match["state"]
        service = self.by_name.setdefault(name, Service(name))
        service.update(state, match["message"], seconds, whole=whole)
        self.cri = self.cri or (name == CRI and state == "Running")
        if service.crashes and not service.is_up:
            return None  # A service that crashes goes through the same states again.
        return ("service", name, state, *service.conditions, *(["healthy"] if service.healthy else []))

    @property
    def has_extensions(self) -> bool:
        """Whether the service of an extension was named."""
        return any(one.is_extension for one in self.by_name.values())

    def waiting(self) -> dict[str, str]:
        """Return the services of extensions that wait for what does not come by itself, and for what."""
        found = {one.name: self._remaining(one) for one in self.by_name.values() if one.is_extension}
        return {name: _WAITING + ", ".join(what) for name, what in found.items() if what}

    def _remaining(self, service: Service, asked: frozenset[str] = frozenset()) -> list[str]:
        """Return what remains to wait for when the base is there."""
        others: list[str] = []
        held: list[str] = []
        for text in service.conditions:
            match = _CONDITION.fullmatch(text)
            if match and match["service"]:
                held.append(match["service"])
            elif text != "network":
                others.append(text)
        if (held or "network" in service.conditions) and not self.cri:
            return []  # Services of the base and the network come later in the boot.
        causes = (self._missing(name, asked | {service.name}) for name in held)
        return [*others, *(cause for cause in causes if cause)]

    def _missing(self, name: str, asked: frozenset[str]) -> str | None:
        """Return why a service that another one waits for never comes, if that is known."""
        other = self.by_name.get(name)
        if other is None:
            return f'service "{name}" to be registered'
        if name in asked:
            return None
        remaining = self._remaining(other, asked)
        return f'service "{name}" (which waits for {", ".join(remaining)})' if remaining else None

    def held(self) -> list[str]:
        """Return the services of extensions that wait for others, or for the network."""
        waiting = self.waiting()
        extensions = [one for one in self.by_name.values() if one.is_extension and one.conditions]
        return [one.name for one in extensions if one.name not in waiting]

    def troubled(self, now: float) -> list[Service]:
        """Return the services that crash or have failed."""
        return [one for one in self.by_name.values() if one.is_crashing(now) or one.has_failed()]

    def unsettled(self, now: float) -> bool:
        """Return whether a service that crashed a few times can still recover."""
        return any(one.crashes < MANY for one in self.troubled(now) if not one.has_failed())

    def up_since(self, now: float) -> float | None:
        """Return since when cri and all services of extensions run, of a configured machine."""
        cri = self.by_name.get(CRI)
        wanted = [one for one in self.by_name.values() if one.is_extension]
        if cri is None or not cri.is_up or self.troubled(now) or not all(one.is_up for one in wanted):
            return None
        return max([one.running for one in (cri, *wanted) if one.running is not None], default=None)

    def pending(self, now: float) -> list[str]:
        """Return the last message of each service that is not up, without those that crash or have failed."""
        troubled = self.troubled(now)
        return [
            f"{one.name}: {one.message[:_MOST_SAID]}"
            for one in self.by_name.values()
            if one not in troubled and (one.state not in _UP or one.message.startswith(_UNHEALTHY))
        ]
