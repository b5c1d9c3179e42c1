"""A headless Chromium over its DevTools protocol: windows as narrow as a phone's, which no flag gives."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars")

OUTSIDE = """
(() => [...document.querySelectorAll("body *")].filter((element) => {
  const box = element.getBoundingClientRect();
  if (box.width === 0 || (box.right <= document.documentElement.clientWidth + 1 && box.left >= -1)) return false;
  for (let at = element; at && at !== document.body; at = at.parentElement)
    if (getComputedStyle(at).overflowX !== "visible" && at !== element) return false;
  return true;
}).map((element) => element.outerHTML.slice(0, 120)))()
"""
"""What reaches over the window's edge and is not inside a box that scrolls or cuts."""


@dataclass
class Look:
    """What a browser made of a page.

    Attributes:
        picture: PNG of the whole page.
        scroll_width: width of the page's content, in CSS pixels.
        outside: elements that reach over the window's edge.
        said: console messages, log entries and exceptions.
        requested: every URL that was asked for.
    """

    picture: bytes
    scroll_width: int
    outside: list[str]
    said: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)


class Browser:
    """One tab."""

    def __init__(self, socket: Any) -> None:
        self.socket, self.numbers, self.events = socket, itertools.count(1), []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command; what happens in the meantime is kept in ``events``."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self.socket.recv(timeout=60))
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]
            self.events.append(told)

    def wait_for(self, method: str) -> None:
        while not any(event.get("method") == method for event in self.events):
            self.events.append(json.loads(self.socket.recv(timeout=60)))

    def evaluate(self, expression: str) -> Any:
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def look(self, page: Path, width: int, scheme: str = "light") -> Look:
        """Open ``page`` in a window of ``width`` CSS pixels, in a ``light`` or ``dark`` scheme."""
        self.events.clear()
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", **metrics)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.ask("Page.navigate", url=page.as_uri())
        self.wait_for("Page.loadEventFired")
        picture = self.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        scroll_width = self.evaluate("document.documentElement.scrollWidth")
        outside = self.evaluate(OUTSIDE)
        return Look(base64.b64decode(picture), scroll_width, outside, self._said(), self._requested())

    def _said(self) -> list[str]:
        methods = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self.events if event.get("method") in methods]

    def _requested(self) -> list[str]:
        sent = (event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent")
        return [params["request"]["url"] for params in sent]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium; skipped by name where there is none, unless ``KT_REQUIRE_CHROMIUM`` says that there must be."""
    from websockets.sync.client import connect

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None and os.environ.get("KT_REQUIRE_CHROMIUM"):
        pytest.fail("KT_REQUIRE_CHROMIUM is set, and there is no chromium")
    if chromium is None:
        pytest.skip("needs chromium")
    profile = tmp_path_factory.mktemp("profile")
    command = [chromium, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(_tab(profile / "DevToolsActivePort", process), max_size=None) as socket:
            yield Browser(socket)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _tab(file: Path, process: subprocess.Popen) -> str:
    """The address of the tab, once the browser has written its port."""
    ends = time.monotonic() + 120
    while not file.exists() or not file.read_text().strip():
        assert process.poll() is None and time.monotonic() < ends, "chromium did not start"
        time.sleep(0.1)
    port = file.read_text().split()[0]
    while time.monotonic() < ends:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
            tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
        if tabs:
            return tabs[0]["webSocketDebuggerUrl"]
        time.sleep(0.1)
    raise TimeoutError("chromium opened no tab")
