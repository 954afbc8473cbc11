"""Why a request is not answered with detections: a status of HTTP and one line."""

from collections.abc import Mapping

MISTAKE = "the service made a mistake, which is in its log"  # the line for what should not happen


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
