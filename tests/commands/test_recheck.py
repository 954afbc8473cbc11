"""--recheck: every command that checks a list reads again what it would otherwise take from its cache."""

import pytest

from tests.helpers.tiny_data import cfg_text
from yolo.data import check

# what each command needs beside the data; {f} is the folder
COMMANDS = {
    "anchors": "--cfg {f}/tiny.cfg --data {data}",
    "make_cfg": "--base {f}/tiny.cfg --data {data} --out {f}/made.cfg --device cpu --overwrite",
    "show_augment": "--cfg {f}/tiny.cfg --data {data} --out {f}/sheet.png --count 2",
    "score": "--truth {data} --detections {f}/found --format labels-score-last --metric voc07",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_image_is_read_again_only_with_recheck(load_tool, call_tool, four, tmp_path, monkeypatch, command):
    (tmp_path / "tiny.cfg").write_text(cfg_text())
    (tmp_path / "found").mkdir()
    for image in four.images:
        (tmp_path / "found" / f"{image.stem}.txt").write_text("0 .5 .5 .2 .2 .9\n")
    monkeypatch.setattr(check, "LEAST_ENTRIES", 1)
    read, whole = [], check._check
    monkeypatch.setattr(check, "_check", lambda *every: (read.append(every[0]), whole(*every))[1])

    def count(*more):
        read.clear()
        options = COMMANDS[command].format(f=tmp_path, data=four.data).split()
        code, _, err = call_tool(load_tool(command), *options, *more)
        assert code == 0, err
        return len(read)

    everything = count()
    assert everything >= 4 and count() == 0 and count("--recheck") == everything
