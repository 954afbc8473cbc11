"""Errors of requests: an HTTP status and one line."""

import json
from collections.abc import Mapping

from starlette.responses import Response

JSON = "application/json"
FULL = "found too many images that wait, expected fewer"
TOO_LATE = "the answer would come later than the deadline"
MISTAKE = "the service made a mistake, which is in its log"  # the line for internal errors


class RefusedError(ValueError):
    """A request that is refused.

    Args:
        status: of HTTP, such as 413.
        line: what was found and what was expected.
        headers: further ones of the answer, such as Retry-After.
    """

    def __init__(self, status: int, line: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(line)
        self.status = status
        self.line = line
        self.headers = dict(headers or {})


def error_response(error: RefusedError) -> Response:
    """Return the answer for a refused request: one line as JSON."""
    return Response(json.dumps({"error": error.line}), error.status, error.headers, JSON)
