"""Every failure that a person can meet, as one tree.

AftertraceError
├── UsageError            the call's words are off                       exit 2, HTTP 400
├── NotFound              no such trace, span, step, source              exit 3, HTTP 404
├── Ambiguous             a prefix that fits several ids                 exit 3, HTTP 409
├── BadRecording          bytes that are not a recording of ours         exit 4, HTTP 422
│   └── UnknownVersion    a format newer than this reader                exit 4, HTTP 422
├── BadOtlp               an OTLP request that cannot be read            exit 4, HTTP 400
│   ├── TooLarge          over the cap, before or after decompression    exit 4, HTTP 413
│   └── UnsupportedMedia  a content type or encoding we do not take      exit 4, HTTP 415
├── Unauthorized          the token is missing or wrong                  exit 5, HTTP 401
├── Unavailable           server or agent not there, or behind           exit 5, HTTP 503
├── StoreError            the store refused                              exit 5, HTTP 500
├── CannotRun             the command to be recorded does not start      exit 126, HTTP 400
│   └── CommandNotFound   there is no such command                       exit 127, HTTP 404
└── NotInstalled          needs an extra that is not installed           exit 6, HTTP 501

Each has a slug (stable, kebab-case), one plain sentence, and a hint on what to do.
"""

from __future__ import annotations

TYPE_CHECKING = False  # a recorded program loads this module
if TYPE_CHECKING:
    from typing import Any, ClassVar


class AftertraceError(Exception):
    """Base of all failures shown to people: ``slug``, sentence, hint, exit code, HTTP status."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, slug: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.slug = slug
        self.message = message
        self.hint = hint

    def to_json(self) -> dict[str, Any]:
        """The error as the HTTP API and ``--json`` give it."""
        return {"error": {"slug": self.slug, "message": self.message, "hint": self.hint}}


class UsageError(AftertraceError):
    exit_code = 2
    http_status = 400


class NotFound(AftertraceError):
    exit_code = 3
    http_status = 404


class Ambiguous(AftertraceError):
    exit_code = 3
    http_status = 409


class BadRecording(AftertraceError):
    exit_code = 4
    http_status = 422


class UnknownVersion(BadRecording):
    pass


class BadOtlp(AftertraceError):
    exit_code = 4
    http_status = 400


class TooLarge(BadOtlp):
    http_status = 413


class UnsupportedMedia(BadOtlp):
    http_status = 415


class Unauthorized(AftertraceError):
    exit_code = 5
    http_status = 401


class Unavailable(AftertraceError):
    exit_code = 5
    http_status = 503


class StoreError(AftertraceError):
    exit_code = 5
    http_status = 500


class NotInstalled(AftertraceError):
    exit_code = 6
    http_status = 501


class CannotRun(AftertraceError):
    exit_code = 126
    http_status = 400


class CommandNotFound(CannotRun):
    exit_code = 127
    http_status = 404
