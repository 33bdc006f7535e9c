"""What can go wrong at a Kubernetes API server, as one tree.

KubeError                 anything this module raises; `.status`, `.reason`, `.message`
├── Unreachable           no answer, or only failures (5xx), after all retries
├── Throttled             429 after all retries; `.retry_after_s`
├── Forbidden             403: the identity may not do this
│   └── Unauthorized      401: the server does not know the identity (expired, revoked)
├── NotFound              404: no such object, or no such kind
├── Conflict              409: another writer was faster, or owns the field
│   └── AlreadyExists     409 on create
├── Gone                  410: the resourceVersion is too old; list again
└── Invalid               400, 422: the object is refused; `.field` names where, if the server said
"""
# ruff: noqa: N818 - an error is named by what happened, as in the tree above

import json
import re
from collections.abc import Mapping


class KubeError(Exception):
    """A call failed. The message says what was asked and what the server answered."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason


class Unreachable(KubeError):
    """No usable answer after all retries."""


class Throttled(KubeError):
    """The server asks for patience. `retry_after_s` is its wish in seconds."""

    retry_after_s: float = 1.0


class Forbidden(KubeError):
    """The identity may not do this."""


class Unauthorized(Forbidden):
    """The server does not accept the identity any more."""


class NotFound(KubeError):
    """No such object or kind."""


class Conflict(KubeError):
    """Another writer was faster or owns the field."""


class AlreadyExists(Conflict):
    """An object of this name exists."""


class Gone(KubeError):
    """The resourceVersion is too old to continue from."""


class Invalid(KubeError):
    """The object is refused. `field` is the path that the server named, or empty."""

    field: str = ""


_BY_STATUS: dict[int, type[KubeError]] = {
    400: Invalid, 401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict, 410: Gone, 422: Invalid,
}  # fmt: skip
_UNKNOWN_FIELD = re.compile(r'unknown field "([^"]+)"|(\.[\w.\[\]]+): field not declared in schema')


def error_of(method: str, url: str, status: int, raw: bytes, headers: Mapping[str, str]) -> KubeError:
    """The typed error of an answer. An apply of an unknown field is answered with 500, but it is the object's fault."""
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = {}
    answer = answer if isinstance(answer, dict) else {}
    text = str(answer.get("message") or raw[:500].decode(errors="replace"))
    reason = str(answer.get("reason", ""))
    message = f"{method} {url.partition('?')[0]}: {text}"
    unknown = _UNKNOWN_FIELD.search(text)
    if status == 429:
        throttled = Throttled(message, status=status, reason=reason)
        throttled.retry_after_s = _seconds(headers.get("Retry-After", "1"))
        return throttled
    if status in {400, 422} or (status == 500 and unknown):
        invalid = Invalid(text, status=status, reason=reason)
        causes = (answer.get("details") or {}).get("causes") or [{}]
        invalid.field = str(causes[0].get("field", "")) or (unknown and (unknown[1] or unknown[2].lstrip("."))) or ""
        return invalid
    kind = AlreadyExists if reason == "AlreadyExists" else _BY_STATUS.get(status, Unreachable)
    return kind(message, status=status, reason=reason)


def _seconds(text: str) -> float:
    """Retry-After in seconds; its date form, which Kubernetes never sends, counts as one second."""
    return float(text) if text.isdigit() else 1.0
