"""Forms: what browsers, curl and requests send, and what attackers do."""

import time

import pytest

from yolo.serve.http.multipart import MOST_FIELDS, Part, read_parts
from yolo.serve.http.refusal import RefusedError

FORM = 'multipart/form-data; boundary="b"'


def form_of(*parts):
    return b"".join(b"--b\r\n" + head + b"\r\n\r\n" + content + b"\r\n" for head, content in parts) + b"--b--\r\n"


def field(name, content=b"x", file_name=None):
    end = b"" if file_name is None else b'; filename="' + file_name + b'"'
    return b'Content-Disposition: form-data; name="' + name + b'"' + end, content


def test_files_and_fields_are_separated_and_every_byte_is_kept():
    content = bytes(range(256)) * 40 + b"\r\n--" + b"\r\n-- b--\n--b--"  # almost a boundary
    body = form_of(field(b"image", content, "Zoë ../../x.jpg".encode()), field(b"min_confidence", b".5"))
    assert read_parts(FORM, body, 2) == [
        Part("image", "Zoë ../../x.jpg", content),
        Part("min_confidence", None, b".5"),
    ]


def test_another_type_is_one_file_with_any_bytes():
    assert read_parts("application/x-www-form-urlencoded", b"--b\r\n", 1) == [Part("", None, b"--b\r\n")]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", form_of(field(b"a"))),
        ("multipart/form-data; boundary=", form_of(field(b"a"))),
        ("multipart/form-data; boundary=" + "b" * 300, form_of(field(b"a"))),
        (FORM, b"no form at all"),
        (FORM, form_of(field(b"a", b"x" * 100))[:60]),
        (FORM, form_of(field(b"a"))[:-6]),
        (FORM, form_of((b"Content-Disposition: form-data; name=" + b"a" * 9000, b"x"))),
        (FORM, form_of((b"X: y\r\n" * 2000 + field(b"a")[0], b"x"))),
    ],
)  # fmt: skip
def test_damaged_forms_are_one_line_with_status_400(content_type, body):
    with pytest.raises(RefusedError) as refused:
        read_parts(content_type, body, 1)
    assert refused.value.status == 400 and len(refused.value.line.splitlines()) == 1


def test_a_form_of_many_parts_is_refused_before_they_are_kept():
    with pytest.raises(RefusedError) as refused:
        read_parts(FORM, form_of(*[field(b"a")] * (MOST_FIELDS + 2)), 1)
    assert refused.value.status == 413


def test_a_boundary_counts_only_as_a_whole_line():
    content = b"\r\n--bb\r\n--b\tx\r\n--"
    body = b"preamble\r\n--b \t\r\n" + field(b"a", b"", b"f")[0] + b"\r\n\r\n" + content + b"\r\n--b--epilogue"
    assert read_parts(FORM, body, 1) == [Part("a", "f", content)]
    assert read_parts(FORM, body.replace(b"preamble\r\n", b"--bb\r\n"), 1) == [Part("a", "f", content)]
    assert read_parts(FORM, b"--b--\r\n", 1) == []


def test_a_form_of_almost_boundaries_takes_linear_time():
    form = f"multipart/form-data; boundary={'b' * 20}"
    times = []
    for count in (10_000, 40_000):
        content = (b"\r\n--" + b"b" * 19) * count + (b"\r\n--" + b"b" * 21) * count
        body = b"--" + b"b" * 20 + b"\r\n" + field(b"a")[0] + b"\r\n\r\n" + content + b"\r\n--" + b"b" * 20 + b"--"
        begun = time.process_time()
        (part,) = read_parts(form, body, 1)
        times.append(time.process_time() - begun)
        assert part.content == content
    assert times[1] < 1.0  # 2 MB; byte by byte it took 14 s
