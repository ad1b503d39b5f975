"""Headless Chromium through chromedriver: the few WebDriver commands (W3C) that the tests need."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element reference, fixed by the standard
KEYS = {"left": "\ue012", "right": "\ue014", "down": "\ue015", "escape": "\ue00c", "tab": "\ue004"}
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)


def missing() -> str | None:
    """Why no browser can be driven here, or None."""
    lacking = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{' and '.join(lacking)} not installed" if lacking else None


class Browser:
    """A session with a profile of its own; files that pages save lie in `folder`."""

    def __init__(
        self, folder: Path, *, width: int = 1280, height: int = 900, reduced_motion: bool = True
    ) -> None:
        self.folder = folder
        command = [shutil.which("chromedriver") or "", "--port=0"]
        self.driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.driver.stdout is not None
        started = next(line for line in self.driver.stdout if "successfully on port" in line)
        port = re.search(r"on port (\d+)", started)
        assert port is not None, started
        self.base = f"http://127.0.0.1:{port[1]}"
        motion = ["--force-prefers-reduced-motion"] if reduced_motion else []
        options = {
            "binary": shutil.which("chromium"),
            "args": [
                *FLAGS,
                *motion,
                f"--window-size={width},{height}",
                f"--user-data-dir={folder / 'profile'}",
            ],
            "prefs": {"download.default_directory": str(folder), "download.prompt_for_download": False},
        }
        wanted = {
            "capabilities": {
                "alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            }
        }
        self.base += "/session/" + self._send("POST", "/session", wanted)["sessionId"]

    def open(self, url: str) -> None:
        self._send("POST", "/url", {"url": url})
        self.wait(f"document.readyState === 'complete' && location.href === {json.dumps(url)}")

    def run(self, script: str, *args: Any) -> Any:
        return self._send("POST", "/execute/sync", {"script": script, "args": list(args)})

    def click(self, css: str) -> None:
        """A real click in the middle of the element; an error when something covers or hides it."""
        found = self._send("POST", "/element", {"using": "css selector", "value": css})
        self._send("POST", f"/element/{found[ELEMENT]}/click", {})

    def press(self, key: str) -> None:
        value = KEYS.get(key, key)
        strokes = [{"type": kind, "value": value} for kind in ("keyDown", "keyUp")]
        self._send("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})

    def wait(self, condition: str, *args: Any, seconds: float = 10.0) -> Any:
        """The value of a JavaScript expression as soon as it is truthy."""
        end = time.monotonic() + seconds
        while not (value := self.run(f"return {condition}", *args)):
            assert time.monotonic() < end, f"never true: {condition}"
            time.sleep(0.01)
        return value

    def errors(self) -> list[str]:
        """What the console complained about."""
        log = self._send("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in log if entry["level"] in ("SEVERE", "WARNING")]

    def resize(self, width: int, height: int) -> None:
        """Emulate a screen of this size."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self._send(
            "POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": screen}
        )

    def saved(self, pattern: str, seconds: float = 10.0) -> Path:
        """The file that the page saved, complete."""
        end = time.monotonic() + seconds
        while not (found := list(self.folder.glob(pattern))):
            assert time.monotonic() < end, f"no {pattern} was saved"
            time.sleep(0.02)
        return found[0]

    def quit(self) -> None:
        try:
            self._send("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(10)

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.base + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"].splitlines()[0]) from None
