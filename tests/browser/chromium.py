"""Drive headless Chromium over a pipe: open a file, ask it questions, take pictures, note every complaint.

The DevTools protocol is spoken over two file descriptors (`--remote-debugging-pipe`): no port, no package.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --disable-dev-shm-usage --remote-debugging-pipe"
).split()
NAMES = ("chromium", "chromium-browser", "google-chrome")
# Chromium reads commands from descriptor 3 and writes answers to descriptor 4.
LAUNCH = """
import os, sys
commands, answers = (os.dup(os.dup(os.dup(int(number)))) for number in sys.argv[1:3])
os.dup2(commands, 3); os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find() -> str:
    """The path of Chromium; without one the test fails, for a skip would hide that the page was never seen."""
    path = next((path for name in NAMES if (path := shutil.which(name))), None)
    if path is None:
        raise RuntimeError("no Chromium on this machine; install it with: apt-get install chromium")
    return path


class Chromium:
    """One browser with one page.

    Attributes:
        complaints: what the page wrote to the console, its uncaught errors, and what the browser logged about it.
        requests: the addresses that the page asked for.
    """

    def __init__(self, profile: Path) -> None:
        """Start the browser with an empty profile."""
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        launch = [sys.executable, "-S", "-c", LAUNCH, str(commands), str(answers)]
        self._process = subprocess.Popen(
            [*launch, find(), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._rest, self._number, self._session = b"", 0, None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._events: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def open(
        self, page: Path, *, width: int = 1280, dark: bool = False, scripts: bool = True, paper: bool = False
    ) -> None:
        """Show a file at a width of the window, light or dark, and wait until it has loaded.

        Without `scripts` those of the page do not run; `paper` lays it out as it is printed.
        """
        self.complaints.clear()
        self.requests.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="print" if paper else "screen", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self._go(page.resolve().as_uri())

    def press(self, key: str, *, text: str = "") -> None:
        """Press a key, as a keyboard does: Tab, Enter, a letter."""
        codes = {"Tab": 9, "Enter": 13, " ": 32}
        facts = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0])), "text": text}
        self.call("Input.dispatchKeyEvent", type="keyDown", **facts)
        self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    def saved(self, folder: Path, ask: str) -> Path:
        """The file that the page saves when an expression is asked."""
        self.call(
            "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), eventsEnabled=True
        )
        before = set(folder.iterdir())
        self.ask(ask)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            new = [one for one in set(folder.iterdir()) - before if one.suffix in (".csv", ".svg")]
            if new and new[0].stat().st_size:
                return new[0]
            time.sleep(0.05)
        raise RuntimeError(f"nothing was saved by {ask}")

    def forget(self) -> None:
        """Leave the page, and lose what it and others from the disk have kept."""
        self.ask("localStorage.clear()")
        self._go("about:blank")

    def ask(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def picture(self, path: Path) -> Path:
        """Save a picture of the whole page."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))
        return path

    def paper(self) -> bytes:
        """The page as a PDF, as it would be printed by day or night."""
        self.call("Emulation.setEmulatedMedia", media="")
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def close(self) -> None:
        """End the browser that was started here."""
        self._session = None
        try:
            self.call("Browser.close")
            self._process.wait(timeout=10)
        except (RuntimeError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        os.close(self._write)

    def _go(self, address: str) -> None:
        """Show an address and wait until it has loaded."""
        self._events.clear()
        self.call("Page.navigate", url=address)
        while "Page.loadEventFired" not in self._events:
            self._next()

    def _next(self) -> dict[str, Any]:
        """The next message of the browser; events are noted on the way."""
        until = time.monotonic() + 60
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            data = os.read(self._read, 1 << 20) if ready else b""
            if not data:
                raise RuntimeError("Chromium is silent: it did not start, died, or is stuck")
            self._rest += data
        line, self._rest = self._rest.split(b"\0", 1)
        message = json.loads(line)
        if "method" in message:
            self._note(message["method"], message["params"])
        return message

    def _note(self, event: str, facts: dict[str, Any]) -> None:
        """Keep what a test may ask for."""
        self._events.append(event)
        if event == "Runtime.consoleAPICalled":
            self.complaints.append(
                f"console.{facts['type']}: {[item.get('value') for item in facts['args']]}"
            )
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(f"exception: {facts['exceptionDetails']}")
        elif event == "Log.entryAdded":
            self.complaints.append(f"{facts['entry']['level']}: {facts['entry']['text']}")
        elif event == "Network.requestWillBeSent":
            self.requests.append(facts["request"]["url"])
