"""One caller of the API: address and token kept in a file that only its owner reads; problems become one sentence."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

TIMEOUT_S = 60.0


class Failed(Exception):
    """The API said no, or did not answer; `code` is the exit status."""

    def __init__(self, words: str, code: int = 1) -> None:
        super().__init__(words)
        self.code = code


def settings_file() -> Path:
    """Return where the address and the token are kept: HEADROOM_CONFIG, or below XDG_CONFIG_HOME."""
    if named := os.environ.get("HEADROOM_CONFIG"):
        return Path(named)
    return Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config")) / "headroom" / "cli.json"


@dataclass
class Caller:
    """Calls the API at `url` with `token`."""

    url: str
    token: str
    session: requests.Session = field(default_factory=requests.Session)

    @classmethod
    def known(cls) -> Caller:
        """Return the caller of the environment (HEADROOM_URL, HEADROOM_TOKEN) or of the last login."""
        kept: dict[str, str] = {}
        if (path := settings_file()).is_file():
            kept = json.loads(path.read_text())
        url = os.environ.get("HEADROOM_URL", kept.get("url", ""))
        token = os.environ.get("HEADROOM_TOKEN", kept.get("token", ""))
        if not url or not token:
            raise Failed("Not signed in. Make a token on the page 'Tokens', then: headroom login URL", 3)
        return cls(url, token)

    def keep(self) -> Path:
        """Store address and token, readable by the owner only."""
        path = settings_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            json.dump({"url": self.url, "token": self.token}, out)
        path.chmod(0o600)
        return path

    def get(self, path: str, **query: Any) -> Any:
        """Return the document at an address."""
        return self.call("GET", path, query={key: value for key, value in query.items() if value is not None})[0]

    def rows(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Return all rows of all pages."""
        found: list[dict[str, Any]] = []
        page = self.get(path, **query)
        while True:
            found += page["results"]
            if not page.get("next"):
                return found
            parts = urlsplit(page["next"])
            page = self.call("GET", f"{parts.path}?{parts.query}")[0]

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        """Post once only: a retry of the same command after a broken line carries the same key."""
        key = {"Idempotency-Key": uuid.uuid4().hex}
        return self.call("POST", path, body={} if body is None else body, headers=key | headers)[0]

    def call(
        self, method: str, path: str, *, body: Any = None, query: Any = None, headers: dict[str, str] | None = None,
        raw: bytes | None = None,
    ) -> tuple[Any, Any]:  # fmt: skip
        """Return the document and the headers; raises Failed with what, where and what to do."""
        address = self.url.rstrip("/") + (path if path.startswith("/api/") else f"/api/v1/{path}")
        signed = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        head = signed | {"Accept": "application/json"} | (headers or {})
        extra: dict[str, Any] = {"data": raw} if raw is not None else ({"json": body} if body is not None else {})
        for last in (False, True):
            try:
                answer = self.session.request(
                    method, address, params=query, headers=head, timeout=TIMEOUT_S, allow_redirects=False, **extra
                )
                break
            except requests.RequestException as error:
                if last or (method != "GET" and "Idempotency-Key" not in head):
                    raise Failed(f"No answer from {self.url}: {type(error).__name__}.", 4) from error
        if answer.status_code >= 400:
            raise Failed(sentence(answer), 2)
        if answer.status_code == 204 or not answer.content:
            return None, answer.headers
        try:
            return answer.json(), answer.headers
        except ValueError as error:
            raise Failed(f"{address} does not answer as the API does: is the address right?", 4) from error


def sentence(answer: Any) -> str:
    """Return a problem document as text: what, where, what to do."""
    try:
        problem = answer.json()
    except ValueError:
        return f"HTTP {answer.status_code}."
    lines = [f"{problem.get('title', 'refused')} (HTTP {answer.status_code})"]
    if problem.get("detail"):
        lines.append(problem["detail"])
    for error in problem.get("errors", []):
        lines.append(f"  {error['pointer']}: {error['detail']} {error.get('remedy', '')}".rstrip())
    if problem.get("remedy"):
        lines.append(problem["remedy"])
    return "\n".join(lines)
