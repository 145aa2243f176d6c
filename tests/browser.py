"""Chromium without a window, for tests of pages: open one, press keys, ask for values. It speaks DevTools on a pipe."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
LONGEST = 60  # seconds for one answer
KEYS = {"Tab": 9, "PageUp": 33, "PageDown": 34, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}


class Browser:
    """One page; get it from `browser`."""

    def __init__(self, receive: int, send: int) -> None:
        self._receive, self._send = receive, send
        self._number, self._rest, self._session = 0, b"", ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._receive], [], [], LONGEST)[0], "the browser does not answer"
            chunk = os.read(self._receive, 1 << 20)
            assert chunk, "the browser has ended"
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)

    def open(self, path: Path, width: int = 1500, height: int = 900, dark: bool = False, script: bool = True) -> None:
        """Open a file and wait until it is loaded."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def js(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            for kind in ("keyDown", "keyUp"):
                code = KEYS.get(key, 0)
                self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def move(self, selector: str, across: float, down: float = 0.5) -> None:
        """Move the mouse over the first element of a selector, to a share of its width and height."""
        box = f"document.querySelector({selector!r}).getBoundingClientRect()"
        x, y, width, height = self.js(f"(({{x, y, width, height}}) => [x, y, width, height])({box})")
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + across * width, y=y + down * height)

    def screenshot(self, path: Path) -> None:
        """Write what is visible into a PNG file."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def problems(self) -> list[Any]:
        """Return the console messages and errors of the page, and what it wanted to load from elsewhere."""
        self.js("new Promise((done) => setTimeout(done))")
        told = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        found: list[Any] = [event for event in self.events if event.get("method") in told]
        asked = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        urls = [event["params"]["request"]["url"] for event in asked]
        return found + [url[:80] for url in urls if not url.startswith(("file:", "data:"))]


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium; skip the test where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("needs Chromium")
    commands, send = os.pipe()
    receive, answers = os.pipe()

    def connect() -> None:
        """Give the browser the two descriptors that it expects."""
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (commands, answers)]
        for number, end in zip((3, 4), ends, strict=True):
            os.dup2(end, number)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe"]
        process = subprocess.Popen(
            [program, *options, f"--user-data-dir={folder}"],
            preexec_fn=connect,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        try:
            yield Browser(receive, send)
        finally:
            process.terminate()
            process.wait()
            os.close(send)
            os.close(receive)
