"""A headless Chromium driven by its DevTools protocol over a pipe: no driver program, no package, no port.

Chromium with `--remote-debugging-pipe` reads commands from file descriptor 3 and writes answers and events to 4, each
one JSON that ends with a zero byte (https://chromedevtools.github.io/devtools-protocol).
"""

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 30.0  # seconds for one answer or one condition; milliseconds are usual
POLL = 0.02  # seconds between two looks at a condition
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
NO_CAMERA = ("--use-fake-device-for-media-stream", "--deny-permission-prompts")
KEYS = {"Tab": 9, "Enter": 13, "ArrowUp": 38, "ArrowRight": 39}
# Moves the ends of the pipes to 3 and 4, then becomes the browser.
START = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(each), fcntl.F_DUPFD, 100) for each in sys.argv[1:3])
os.dup2(read, 3), os.dup2(write, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""


class BrowserError(RuntimeError):
    """What the browser or a script of the page reported."""


class Browser:
    """One Chromium with one page. `console` holds what the page logged and the errors that the browser reported."""

    def __init__(self, program: str, profile: Path, *options: str) -> None:
        commands_in, commands_out = os.pipe()
        answers_in, answers_out = os.pipe()
        flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe",
                 "--no-first-run", "--force-color-profile=srgb", f"--user-data-dir={profile}")  # fmt: skip
        # fmt: off
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", START, str(commands_in), str(answers_out), program, *flags, *options,
             "about:blank"],
            pass_fds=(commands_in, answers_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # fmt: on
        os.close(commands_in)
        os.close(answers_out)
        self._commands, self._answers = commands_out, answers_in
        self._unread = b""
        self._count = 0
        self.console: list[str] = []
        self._session = None
        page = next(each for each in self.send("Target.getTargets")["targetInfos"] if each["type"] == "page")
        attached = self.send("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM", "Network"):
            self.send(f"{domain}.enable")
        self.send("Emulation.setFocusEmulationEnabled", enabled=True)  # events of focus, though no window is in front

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_error) -> None:
        os.close(self._commands)
        os.close(self._answers)
        self._process.terminate()
        self._process.wait(PATIENCE)

    def send(self, method: str, **parameters) -> dict:
        """Send a command and return its result; events that come before it are noted."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + PATIENCE
        while True:
            answer = self._next(until)
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._note(answer)

    def _next(self, until: float) -> dict:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise BrowserError("the browser does not answer")
            part = os.read(self._answers, 2**20)
            if not part:
                raise BrowserError("the browser ended")
            self._unread += part
        message, self._unread = self._unread.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event: dict) -> None:
        about = event.get("params", {})
        if event.get("method") == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(each.get("value", "")) for each in about["args"]))
        elif event.get("method") == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.console.append(details.get("exception", {}).get("description", details["text"]))
        elif event.get("method") == "Log.entryAdded":
            self.console.append(f"{about['entry']['text']} {about['entry'].get('url', '')}".strip())

    def run(self, script: str):
        """Return the value of a JavaScript expression in the page; a promise is waited for."""
        result = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description", details["text"]))
        return result["result"].get("value")

    def until(self, condition: str, patience: float = PATIENCE):
        """Return the value of an expression as soon as it is true."""
        end = time.monotonic() + patience
        while not (value := self.run(condition)):
            if time.monotonic() > end:
                shown = self.run("document.body.innerText")
                raise BrowserError(f"not within {patience} s: {condition}\n{shown}\n{self.console}")
            time.sleep(POLL)
        return value

    def open(self, address: str) -> None:
        """Go to an address; return when the page's script has run."""
        self.send("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def text(self, selector: str) -> str:
        """Return the visible text of an element."""
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def click(self, selector: str) -> None:
        """Click in the middle of an element, as the mouse does; what is above it gets the click."""
        x, y = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def mouse(self, kind: str, x: float, y: float) -> None:
        """Send an event of the mouse at a point of the window: mouseMoved, mousePressed, mouseReleased."""
        button = "none" if kind == "mouseMoved" else "left"
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)

    def key(self, key: str) -> None:
        """Press and release a key of KEYS."""
        about = {"key": key, "windowsVirtualKeyCode": KEYS[key]}
        if key == "Enter":
            about["text"] = "\r"
        self.send("Input.dispatchKeyEvent", type="keyDown", **about)
        self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def choose_files(self, selector: str, *paths: Path) -> None:
        """Choose files in an <input type=file>."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def drop_files(self, x: float, y: float, *paths: Path) -> None:
        """Drop files on a point of the window."""
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.send("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def show_as(self, width: int, height: int, dark: bool = False, phone: bool = False) -> None:
        """Set the size of the window in CSS pixels, and the color scheme that the page is asked for."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
