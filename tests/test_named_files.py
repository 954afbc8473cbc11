"""yolo.named_files against a server on this machine: whole, interrupted, resumed, changed, refused."""

import hashlib
import http.server
import threading
from pathlib import Path

import pytest

from yolo.errors import DatasetError, WeightsError
from yolo.named_files import PublishedFile, cutoff_of, download, find_names, find_weights, published_files

CONTENT = bytes(range(256)) * 4000  # about 1 MB: several chunks
SIZE = len(CONTENT)
TABLE = """
| model | file | bytes | published at |
|---|---|---:|---|
| `cfg/a.cfg` | `a.weights` | 1,024,000 | http://x.org/a.weights |
| `cfg/b.cfg` | `b.weights` | 7 (computed) | https://y.org/b.weights |
| `cfg/c.cfg` | none published; yours will have | 246,714,648 | train it |
| the backbone | `darknet53.conv.74` | 162,482,580 | https://y.org/darknet53.conv.74 |
"""


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, by ranges; `/cut` sends half of it and hangs up."""

    asked: list[tuple[str, str | None]] = []

    def do_GET(self):
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.asked.append((self.path, self.headers.get("Range")))
        if self.path == "/missing":
            return self.send_error(404, "Not Found")
        if self.path == "/whole-only":
            start = 0
        if start >= len(CONTENT):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        end = len(CONTENT) // 2 if self.path == "/cut" else len(CONTENT)
        self.wfile.write(CONTENT[start:end])
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def url():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Server.asked.clear()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def file_of(url, size=SIZE):
    return PublishedFile("a.weights", size, url)


def test_the_table_is_read_by_file_and_model_name():
    files = published_files(TABLE)
    assert files["a"] == files["a.weights"] == PublishedFile("a.weights", 1024000, "http://x.org/a.weights")
    assert files["b"].size is None and files["b"].least > 0  # computed, not published
    assert files["darknet53.conv.74"].size == 162482580
    assert set(files) == {"a", "a.weights", "b", "b.weights", "darknet53.conv.74"}


def test_the_projects_own_table_has_its_models(project):
    files = published_files((project / "weights" / "README.md").read_text())
    assert files["yolov4-tiny"].size == 24251276 and "darknet53.conv.74" in files
    assert len(set(files.values())) == 15


def test_a_file_comes_whole_with_its_hash_and_progress(tmp_path, url):
    seen = []
    path = download(file_of(f"{url}/a"), tmp_path / "new", lambda *numbers: seen.append(numbers))
    assert path == tmp_path / "new" / "a.weights" and path.read_bytes() == CONTENT
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert (tmp_path / "new" / "a.weights.sha256").read_text() == f"{digest}  a.weights\n"
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and len(seen) > 2
    assert sorted(each.name for each in path.parent.iterdir()) == ["a.weights", "a.weights.sha256"]


def test_an_interrupted_download_goes_on_where_it_stopped(tmp_path, url):
    with pytest.raises(WeightsError, match=rf"{url}/cut could not be downloaded .*; the same command continues it"):
        download(file_of(f"{url}/cut"), tmp_path)
    half = len(CONTENT) // 2
    assert (tmp_path / "a.weights.part").stat().st_size == half
    assert not (tmp_path / "a.weights").exists()
    assert download(file_of(f"{url}/a"), tmp_path).read_bytes() == CONTENT
    assert Server.asked[-1] == ("/a", f"bytes={half}-")


def test_a_server_that_does_not_continue_sends_all_again(tmp_path, url):
    (tmp_path / "a.weights.part").write_bytes(b"xxxx")
    Server.do_GET, plain = (lambda self: _without_ranges(self)), Server.do_GET
    try:
        assert download(file_of(f"{url}/a"), tmp_path).read_bytes() == CONTENT
    finally:
        Server.do_GET = plain


def _without_ranges(self):
    self.send_response(200)
    self.send_header("Content-Length", str(len(CONTENT)))
    self.end_headers()
    self.wfile.write(CONTENT)


def test_a_part_that_is_complete_already_is_taken(tmp_path, url):
    (tmp_path / "a.weights.part").write_bytes(CONTENT)
    assert download(file_of(f"{url}/a"), tmp_path).read_bytes() == CONTENT


def test_another_size_and_another_content_than_before_are_refused(tmp_path, url):
    with pytest.raises(WeightsError, match=f"found {len(CONTENT)} bytes, expected 5"):
        download(file_of(f"{url}/a", 5), tmp_path)
    (tmp_path / "a.weights.sha256").write_text("0" * 64 + "  a.weights\n")
    with pytest.raises(WeightsError, match="the published file has changed"):
        download(file_of(f"{url}/a"), tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.weights.sha256"]


def test_a_download_that_breaks_off_without_a_length_gets_no_final_name(tmp_path, url, monkeypatch):
    def half(self, header, piece):
        self.send_response(200)
        self.send_header(*header)
        self.end_headers()
        self.wfile.write(piece + CONTENT[: len(CONTENT) // 2])

    # a server that closes the connection at the end of the file, and one that sends chunks
    monkeypatch.setattr(Server, "do_GET", lambda self: half(self, ("Connection", "close"), b""))
    computed = PublishedFile("a.weights", None, f"{url}/a", least=SIZE - 4)
    with pytest.raises(WeightsError, match=f"found {SIZE // 2} bytes, expected at least {SIZE - 4}"):
        download(computed, tmp_path)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(Server, "protocol_version", "HTTP/1.1")
    chunk = b"%x\r\n" % len(CONTENT)
    monkeypatch.setattr(Server, "do_GET", lambda self: half(self, ("Transfer-Encoding", "chunked"), chunk))
    with pytest.raises(WeightsError, match="could not be downloaded .*IncompleteRead"):
        download(computed, tmp_path)
    assert not (tmp_path / "a.weights").exists()


@pytest.mark.parametrize("where", ["{url}/missing", "http://127.0.0.1:9/a", "http://no.such.host.invalid/a"])
def test_what_cannot_be_fetched_is_one_line_with_the_url(tmp_path, url, where):
    where = where.format(url=url)
    with pytest.raises(WeightsError) as error:
        download(file_of(where), tmp_path)
    assert where in str(error.value) and str(tmp_path / "a.weights") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_name_means_a_file_that_is_there_before_any_download(tmp_path, url):
    (tmp_path / "a.weights").write_bytes(b"mine")
    (tmp_path / "table.md").write_text(TABLE.replace("http://x.org/a.weights", f"{url}/a"))
    arguments = tmp_path, tmp_path / "table.md", lambda *_: None
    assert find_weights("a", *arguments) == tmp_path / "a.weights"
    elsewhere = tmp_path / "elsewhere", *arguments[1:]  # what lies beside the table, such as our own, is found there
    assert find_weights("a", *elsewhere) == tmp_path / "a.weights"
    assert find_weights("a.weights", *arguments).read_bytes() == b"mine" and Server.asked == []
    (tmp_path / "a.weights").unlink()
    assert find_weights("a", *arguments).read_bytes() == CONTENT and len(Server.asked) == 1


def test_an_unknown_name_suggests_published_ones(tmp_path):
    (tmp_path / "table.md").write_text(TABLE)
    with pytest.raises(WeightsError, match="darknet53: found no such file .* one of darknet53.conv.74$"):
        find_weights("darknet53", tmp_path, tmp_path / "table.md", lambda *_: None)


def test_the_cutoff_is_in_a_backbones_name():
    assert cutoff_of(Path("weights/darknet53.conv.74")) == 74
    for other in (None, Path("conv.74"), Path("a.conv.74/x.weights"), Path("a.conv.x")):
        assert cutoff_of(other) is None


def test_only_a_shipped_cfg_has_the_names_of_the_data_set_that_it_was_published_for(tmp_path, project):
    own, weights = tmp_path / "mine.cfg", tmp_path / "mine.weights"
    with pytest.raises(DatasetError, match="mine.cfg: found no .data or .names file with 3 names beside the model"):
        find_names(own, weights, 3)
    (tmp_path / "three.names").write_text("a\nb\nc\n")
    for hidden in ("._three.names", "._three.data"):
        (tmp_path / hidden).write_bytes(b"\0\5\x16\7\nATTR\nx\n")  # macOS's
    assert find_names(own, weights, 3) == tmp_path / "three.names"
    assert find_names(project / "cfg" / "yolov3.cfg", weights, 80) == project / "data" / "coco.names"
