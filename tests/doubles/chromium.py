"""A headless Chromium, driven over a pipe by the DevTools protocol: no package and no network port."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Chromium:
    """One browser with one page; `messages` has what the page wrote to its console, and its errors."""

    def __init__(self, folder):
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        flags += ["--disable-dev-shm-usage", "--remote-debugging-pipe"]
        self.messages = []
        reader, their_output = os.pipe()
        their_input, writer = os.pipe()

        def wire():  # Chromium reads from descriptor 3 and writes to 4
            high = [os.dup(each) for each in (their_input, their_output)]
            while min(high) < 5:
                high = [os.dup(each) for each in high]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            [CHROMIUM, *flags, f"--user-data-dir={folder}", "about:blank"],
            close_fds=False,
            pass_fds=(),
            preexec_fn=wire,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_input)
        os.close(their_output)
        self.reader, self.writer, self.rest, self.number, self.session = reader, writer, b"", 0, None
        target = next(each for each in self.call("Target.getTargets")["targetInfos"] if each["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writer, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def wait_for(self, method):
        while self._receive().get("method") != method:
            pass

    def _receive(self):
        deadline = time.monotonic() + 60
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.reader], [], [], max(0, deadline - time.monotonic()))
            assert ready, "Chromium does not answer"
            got = os.read(self.reader, 1 << 20)
            assert got, "Chromium has ended"
            self.rest += got
        line, _, self.rest = self.rest.partition(b"\0")
        message = json.loads(line)
        kind, facts = message.get("method"), message.get("params", {})
        if kind == "Runtime.consoleAPICalled":
            self.messages.append(str([each.get("value") for each in facts["args"]]))
        elif kind == "Runtime.exceptionThrown":
            details = facts["exceptionDetails"]
            self.messages.append(details.get("exception", {}).get("description", details["text"]))
        elif kind == "Log.entryAdded":
            self.messages.append(facts["entry"]["text"])
        elif kind == "Network.requestWillBeSent" and not facts["request"]["url"].startswith(("file:", "data:")):
            self.messages.append(f"request of {facts['request']['url']}")
        return message

    def open(self, path, width=1500, height=900, scheme="light"):
        """Load a file, in a window of this size and a colour scheme."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=Path(path).resolve().as_uri())
        self.wait_for("Page.loadEventFired")

    def run(self, script):
        """Return the value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        details = found.get("exceptionDetails")
        assert details is None, details["exception"].get("description", details["text"])
        return found["result"].get("value")

    def press(self, key, code=None):
        """Press and release a key."""
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        facts = {"key": key, "code": code or key, "windowsVirtualKeyCode": {"Enter": 13, " ": 32, "Tab": 9}.get(key, 0)}
        self.call("Input.dispatchKeyEvent", type="keyDown", **facts, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    def click(self, selector):
        """Click on the middle of an element."""
        found = f"document.querySelector({selector!r})"
        self.run(f"{found}.scrollIntoView({{block: 'center', inline: 'center'}})")
        x, y = self.run(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({found}.getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, path, full=False):
        """Write what the window shows, or the whole page, as a PNG file."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        Path(path).write_bytes(base64.b64decode(found["data"]))

    def close(self):
        with contextlib.suppress(Exception):
            self.call("Browser.close")
        self.process.kill()
        self.process.wait()
        os.close(self.reader)
        os.close(self.writer)
