"""The body of a request → its files and form fields, in memory: no byte of it reaches a disk."""

from dataclasses import dataclass, field

import python_multipart
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from yolo.errors import shorten
from yolo.serve.http.refusal import RefusedError

FORM = "multipart/form-data"
MOST_FIELDS = 32  # form fields beside the files
MOST_HEADER_BYTES = 8192  # of a part: as servers allow for a line of a request's head


@dataclass(frozen=True)
class Part:
    """A part of a form, or a whole body.

    field: its name, empty for a body. file_name: None for a field without a file. content: its bytes.
    """

    field: str
    file_name: str | None
    content: bytes


@dataclass
class _Reader:
    """Collects what the parser calls back with."""

    most_parts: int
    parts: list[Part] = field(default_factory=list)
    header: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))
    headers: dict[bytes, bytes] = field(default_factory=dict)
    header_bytes: int = 0
    content: list[bytes] = field(default_factory=list)
    whole: bool = False

    def begin(self) -> None:
        if len(self.parts) == self.most_parts:
            raise RefusedError(413, f"found a form of more than {self.most_parts} parts")
        self.headers, self.content, self.header_bytes = {}, [], 0

    def header_data(self, place: int, data: bytes, start: int, end: int) -> None:
        self.header_bytes += end - start
        if self.header_bytes > MOST_HEADER_BYTES:
            raise RefusedError(400, f"found a part with headers of more than {MOST_HEADER_BYTES} bytes")
        self.header[place].extend(data[start:end])

    def header_end(self) -> None:
        name, value = map(bytes, self.header)
        self.headers.setdefault(name.lower(), value)
        self.header = bytearray(), bytearray()

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self.content.append(data[start:end])

    def end(self) -> None:
        _, options = parse_options_header(self.headers.get(b"content-disposition", b""))
        name, file_name = options.get(b"name", b""), options.get(b"filename")
        shown = None if file_name is None else file_name.decode("utf-8", "replace")
        self.parts.append(Part(name.decode("utf-8", "replace"), shown, b"".join(self.content)))

    def finish(self) -> None:
        self.whole = True


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
    boundary = options.get(b"boundary")
    if not boundary:
        raise RefusedError(400, f"found Content-Type {shorten(content_type)!r}, expected a boundary")
    reader = _Reader(most_files + MOST_FIELDS)
    callbacks = {
        "on_part_begin": reader.begin,
        "on_part_data": reader.part_data,
        "on_part_end": reader.end,
        "on_header_field": lambda *data: reader.header_data(0, *data),
        "on_header_value": lambda *data: reader.header_data(1, *data),
        "on_header_end": reader.header_end,
        "on_end": reader.finish,
    }
    try:
        parser = python_multipart.MultipartParser(boundary, callbacks)
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise RefusedError(400, f"found a damaged form: {error}".splitlines()[0]) from error
    if not reader.whole:
        raise RefusedError(400, "found a form that breaks off, expected its last boundary")
    return reader.parts
