"""Parse the body of a request into files and form fields, in memory: no byte is written to a disk (RFC 2046, 5.1.1)."""

from dataclasses import dataclass

from python_multipart.multipart import parse_options_header

from yolo.errors import shorten
from yolo.serve.http.refusal import RefusedError

FORM = "multipart/form-data"
MOST_FIELDS = 32  # form fields beside the files
CRLF = b"\r\n"
LONGEST_BOUNDARY = 256  # RFC 2046 allows 70; programs write 16 to 60
MOST_PADDING = 64  # spaces after a boundary, which mail programs may add
MOST_HEADER_BYTES = 8192  # of a part: as servers allow for a line of a request's head


@dataclass(frozen=True)
class Part:
    """A part of a form, or a whole body.

    field: its name, empty for a body. file_name: None for a field without a file. content: its bytes.
    """

    field: str
    file_name: str | None
    content: bytes


def is_form(content_type: str) -> bool:
    """Whether a body of this Content-Type is a form with files."""
    return content_type.split(";")[0].strip().lower() == FORM


def read_parts(content_type: str, body: bytes, most_files: int) -> list[Part]:
    """Return the parts of a form, or the whole body as the only part.

    Args:
        content_type: the header of the request.
        body: all of its bytes.
        most_files: that a form may have, beside MOST_FIELDS form fields.

    Raises:
        RefusedError: 400 for a form that is damaged, 413 for one of too many parts.
    """
    if not is_form(content_type):
        return [Part("", None, body)]
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= LONGEST_BOUNDARY:
        found = shorten(content_type)
        raise RefusedError(400, f"found Content-Type {found!r}, expected a boundary of up to {LONGEST_BOUNDARY} bytes")
    delimiter = CRLF + b"--" + boundary
    parts: list[Part] = []
    if body.startswith(b"--"):
        body = CRLF + body  # so that the first delimiter has the form of the others
    _, place, last = _next_delimiter(body, delimiter, 0)
    while not last:
        if len(parts) == most_files + MOST_FIELDS:
            raise RefusedError(413, f"found a form of more than {most_files + MOST_FIELDS} parts")
        headers_end = body.find(2 * CRLF, place, place + MOST_HEADER_BYTES)
        if headers_end < 0:
            raise RefusedError(400, f"found a part without headers of at most {MOST_HEADER_BYTES} bytes")
        headers = body[place:headers_end]
        start = headers_end + 2 * len(CRLF)
        end, place, last = _next_delimiter(body, delimiter, headers_end + len(CRLF))
        parts.append(_part(headers, body[start:end]))
    return parts


def _next_delimiter(body: bytes, delimiter: bytes, start: int) -> tuple[int, int, bool]:
    """Return where the next delimiter begins and ends, and whether it is the last one. Raises RefusedError.

    bytes.find takes linear time, also for a body of boundaries that are almost the form's.
    """
    while (place := body.find(delimiter, start)) >= 0:
        end = place + len(delimiter)
        if body.startswith(b"--", end):
            return place, end, True
        line_end = body.find(CRLF, end, end + MOST_PADDING)
        if line_end >= 0 and not body[end:line_end].strip(b" \t"):
            return place, line_end, False
        start = place + 1  # the boundary is the start of a longer word
    raise RefusedError(400, "found a form that breaks off, expected its last boundary")


def _part(headers: bytes, content: bytes) -> Part:
    disposition = b""
    for line in headers.split(CRLF):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            disposition = value.strip()
            break
    _, options = parse_options_header(disposition)
    file_name = options.get(b"filename")
    shown = None if file_name is None else file_name.decode("utf-8", "replace")
    return Part(options.get(b"name", b"").decode("utf-8", "replace"), shown, content)
