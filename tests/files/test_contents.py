"""yolo.files.contents: what a file is by its first bytes, for files that real programs and servers write."""

import gzip
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save

from yolo.files.contents import foreign_to_text, known_content, open_input, read_small_file


def zipped(write) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html>\n<html>", "a web page"),
        (b"\xef\xbb\xbf\n <!-- moved -->\n<HTML lang=en>", "a web page"),
        (zipped(lambda file: torch.save({"a": torch.ones(2)}, file)), "a zip archive, as .pt"),
        (zipped(lambda file: zipfile.ZipFile(file, "w").writestr("a", "b")), "a zip archive"),
        (pickle.dumps([1, 2], protocol=2), "a Python pickle"),
        (gzip.compress(b"weights", mtime=0), "gzip data"),
        (save({"a": torch.ones(2)}), "a .safetensors file"),
        (save({"a": torch.ones(2)}, {"format": "darknet"}), "a .safetensors file"),
        (b'{"images": []}', "JSON text"),
        (b"[net]\nwidth=416\n", "text"),
        ("[net]\n# größe".encode(), "text"),
        ("猫\n".encode() * 5, "text"),
        ("猫\n".encode()[:-2], "text"),  # cut in a letter
        (b"\xff\xfea\0", "UTF-16 text"),
        (b"%PDF-1.7", "a PDF"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP image"),
        (b"\0\0\0\x24ftypheic\0\0\0\0mif1heic", "an HEIC photo, as iPhones"),
        (np.array([0, 2, 5, 0, 0], "<i4").tobytes() + np.ones(9, "<f4").tobytes(), None),  # .weights
        (b"\xe4\xf6\xfc latin-1\n", None),
    ],
)
def test_a_file_is_named_by_its_first_bytes(content, words):
    found = known_content(content[:4096])
    assert found is None if words is None else found.startswith(words)


def test_texts_are_not_foreign_to_text_readers_even_in_old_encodings():
    for content in (b"", b"a.jpg\n", b"\xe4.jpg\n", b'{"a": 1}', b"\x1b[31mred\n"):
        assert foreign_to_text(content) is None
    assert foreign_to_text(b"<html>").startswith("a web page")


def small(path):
    return io.BytesIO(read_small_file(path, 100))


@pytest.mark.parametrize("opened", [open_input, small])
@pytest.mark.parametrize("what", ["pipe", "device"])
def test_pipes_and_devices_are_no_files(tmp_path, what, opened):
    """Reading them may wait forever, or never end."""
    path = tmp_path / "pipe" if what == "pipe" else "/dev/zero"
    if what == "pipe":
        os.mkfifo(path)
    with pytest.raises(OSError, match=f"found a {what}, expected a file") as error:
        opened(path)
    assert error.value.filename == str(path)


@pytest.mark.parametrize("opened", [open_input, small])
def test_what_a_shell_hands_over_as_a_file_is_read(opened):
    read_end, write_end = os.pipe()
    os.write(write_end, b"a.jpg\n")
    os.close(write_end)
    with opened(f"/dev/fd/{read_end}") as file:
        assert file.read() == b"a.jpg\n"
    os.close(read_end)


def test_of_a_small_file_one_byte_more_than_asked_for_is_read(tmp_path):
    (tmp_path / "a.xml").write_bytes(b"<a/>")
    assert read_small_file(tmp_path / "a.xml", 4) == read_small_file(tmp_path / "a.xml", 100) == b"<a/>"
    assert read_small_file(tmp_path / "a.xml", 2) == b"<a/"
    for name in ("none.xml", "zero\0byte.xml", "."):
        with pytest.raises(OSError):
            read_small_file(tmp_path / name, 4)
