"""A real server with a database of its own, and a real browser. Nothing here touches this process's database.

    def test_something(house, page_as):
        page = page_as("operator")                    # signed in, 1366 x 768
        page.goto(house.url + "/operations/")
        house.shoot(page, "operations")               # a picture in $HEADROOM_SCREENS, or in the server's folder

`house.run("tests.browser.seed", "agreement")` fills the server's database in a process of its own.
"""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

CHROMIUM = Path(os.environ.get("HEADROOM_CHROMIUM", "/usr/bin/chromium"))
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
START_S, STOP_S = 60.0, 10.0
TO_WEBP = """async (png) => {
  const picture = new Image();
  picture.src = "data:image/png;base64," + png;
  await picture.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: picture.width, height: picture.height });
  canvas.getContext("2d").drawImage(picture, 0, 0);
  return canvas.toDataURL("image/webp", 0.6);
}"""
ROLES = ("applicant", "engineer", "approver", "operator", "auditor", "administrator")


def password(name: str) -> str:
    return f"{name}-long-enough-1"


@dataclass
class House:
    """The server, its state folder, and the processes that a test started beside it."""

    state: Path
    port: int = 0
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "REDIS_URL")}
        return kept | {
            "HEADROOM_STATE_DIR": str(self.state), "DJANGO_SETTINGS_MODULE": "derms.settings", "PYTHONPATH": str(ROOT),
            "HEADROOM_LOG_LEVEL": "WARNING",
        }  # fmt: skip

    def run(self, module: str, *arguments: str) -> str:
        """Run a module (`tests.browser.seed`) on the server's database and return what it printed."""
        return self._finish("-m", module, *arguments)

    def manage(self, *arguments: str) -> str:
        """Run a management command to its end."""
        return self._finish("manage.py", *arguments)

    def _finish(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, *command: str, fds: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        """Start a process that lives until the end of the session, or until `stop`."""
        log = (self.state / f"{len(self.processes)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=self.environment, stdout=log, stderr=log, pass_fds=fds
        )
        self.processes.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
        """End one of our own processes."""
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def serve(self) -> None:
        """Start the web on a port that the system chose and that nobody else can take meanwhile."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(64)
            self.port = listener.getsockname()[1]
            listener.set_inheritable(True)
            self.start(
                "-m", "uvicorn", "derms.asgi:application", "--fd", str(listener.fileno()), "--log-level", "warning",
                fds=(listener.fileno(),),
            )  # fmt: skip
            deadline = time.monotonic() + START_S
            while time.monotonic() < deadline:
                try:
                    with urllib.request.urlopen(self.url + "/login/", timeout=5) as answer:
                        assert answer.status == 200
                        return
                except (urllib.error.URLError, TimeoutError, ConnectionError):
                    time.sleep(0.1)
        logs = "".join(path.read_text() for path in self.state.glob("*.log"))
        raise AssertionError(f"the server did not come up: {logs}")

    def shoot(self, page: Any, name: str) -> Path:
        """Save what the browser shows, as WebP: a quarter of a PNG, and the manual's page carries seven of them."""
        folder = Path(os.environ.get("HEADROOM_SCREENS", str(self.state / "screens")))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.webp"
        blank = page.context.browser.new_page()
        shown = blank.evaluate(TO_WEBP, base64.b64encode(page.screenshot()).decode())
        blank.close()
        path.write_bytes(base64.b64decode(shown.partition(",")[2]))
        return path


# Not the session's scope: while Playwright runs, no other event loop may run in this thread.
@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright; skipped by name where either is absent."""
    api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    if not CHROMIUM.exists():
        pytest.skip(f"needs {CHROMIUM} (apt-get install chromium), or HEADROOM_CHROMIUM=/path/to/it")
    with api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def house(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The web server with an empty, migrated database and one person per role."""
    place = House(tmp_path_factory.mktemp("house"))
    place.manage("migrate", "--verbosity", "0")
    place.run("tests.browser.seed", "people")
    place.serve()
    yield place
    for process in reversed(place.processes):
        place.stop(process)


@pytest.fixture
def page_as(browser: Any, house: House) -> Iterator[Callable[..., Any]]:
    """Return a function that gives a page on which a person is signed in; script errors fail the test at its end."""
    contexts, errors = [], []

    def sign_in(name: str, *, width: int = 1366, height: int = 768, scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(house.url + "/login/")
        page.fill("input[name=login]", name)
        page.fill("input[name=password]", password(name))
        page.press("input[name=password]", "Enter")
        page.wait_for_url(lambda url: "/login" not in url)
        return page

    yield sign_in
    for context in contexts:
        context.close()
    assert not errors, errors
