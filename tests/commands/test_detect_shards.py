"""detect with a long list that is divided among processes: every image once, even if a process is killed."""

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from contextlib import suppress

import pytest

from tests.helpers.command_calls import DETECT, bad_option, one_line
from yolo.commands import detect as command
from yolo.detect.shards import ListedImage, Shard, alone_in_shard, shard_images


@pytest.fixture
def listed(case, four):
    """A list of 20 lines in 10 parts of 2: a blank line, an image that is broken, one that is missing, 17 good ones."""
    (case / "broken.png").write_bytes(four.images[0].read_bytes()[:60])
    lines = [str(four.images[number % 4]) for number in range(20)]
    lines[3], lines[7], lines[12] = "", "broken.png", "missing.png"
    path = case / "long.txt"
    path.write_text("\n".join(lines))
    return path


SHARED = (*DETECT, "long.txt", "--out", "out", "--part-size", 2, "--thresh", ".2")


def rows_of(folder):
    """All rows of all parts, by their line."""
    rows = [json.loads(line) for part in folder.glob("part-*.jsonl") for line in part.read_text().splitlines()]
    return sorted(rows, key=lambda row: row["line"])


def test_the_shards_together_have_every_image_once_and_the_rows_of_jsonl(call, case, listed, four):
    for number in ("1/3", "2/3", "3/3"):
        code, out, err = call("detect", *SHARED, "--shard", number)
        assert (code, err) == (0, "")
        assert f"shard {number}: {4 if number == '3/3' else 3} parts of 2 lines, 0 complete\n" in out
    rows = rows_of(case / "out")
    assert [row["line"] for row in rows] == [line for line in range(1, 21) if line != 4]
    errors = {row["source"]: row["error"] for row in rows if row["error"]}
    assert errors["missing.png"] == "missing.png: No such file or directory"
    assert errors["broken.png"].startswith("broken.png: found") and len(errors) == 2
    code, _, _ = call("detect", *DETECT, *four.images, "--thresh", ".2", "--jsonl", "all.jsonl")
    plain = {row["source"]: row for row in map(json.loads, (case / "all.jsonl").read_text().splitlines())}
    assert sum(len(row["objects"]) for row in plain.values()) > 0
    for row in rows:
        if not row["error"]:
            assert {name: row[name] for name in plain[row["source"]]} == plain[row["source"]]


def test_a_restart_with_another_number_of_shards_does_only_what_is_missing(call, case, listed):
    assert call("detect", *SHARED, "--shard", "1/2")[0] == 0
    before = {path.name: path.read_bytes() for path in (case / "out").iterdir()}
    (case / "out" / "part-000005.jsonl").unlink()
    del before["part-000005.jsonl"]
    (case / "out" / ".part-000005.jsonl.killed").write_text("half a row")
    code, out, _ = call("detect", *SHARED, "--shard", "0/1", "--batch", 3)
    assert code == 0 and "shard 1/1: 10 parts of 2 lines, 4 complete" in out
    assert out.count(" objects") == 6
    after = {path.name: path.read_bytes() for path in (case / "out").iterdir()}
    assert before.items() <= after.items() and len(after) == 11  # with the manifest, without the leftover
    assert len(rows_of(case / "out")) == 19


def test_an_interruption_leaves_complete_parts_only(call, case, listed, monkeypatch):
    from yolo.detect import overlapped

    whole = overlapped.detect_items

    def five_images(*arguments, **how):
        for number, item in enumerate(whole(*arguments, **how)):
            if number == 5:
                raise KeyboardInterrupt
            yield item

    monkeypatch.setattr(overlapped, "detect_items", five_images)
    assert call("detect", *SHARED, "--shard", "1/1")[0] == 130
    assert sorted(path.name for path in (case / "out").iterdir()) == [
        "manifest.json", "part-000000.jsonl", "part-000001.jsonl",
    ]  # fmt: skip
    monkeypatch.undo()
    monkeypatch.chdir(case)
    assert call("detect", *SHARED, "--shard", "1/1")[0] == 0
    assert len(rows_of(case / "out")) == 19


def test_another_list_network_or_threshold_is_refused(call, case, listed):
    assert call("detect", *SHARED, "--shard", "1/2")[0] == 0
    again = (*SHARED, "--shard", "2/2")
    one_line(call("detect", *again, "--thresh", ".3"), "manifest.json: thresh: found 0.2 .* now 0.3; expected")
    one_line(call("detect", *again, "--letterbox"), "letterbox: found false .* now true")
    one_line(call("detect", *again, "--set", "width=96"), "overrides: found")
    one_line(call("detect", *again, "--part-size", "3"), "part_size: found 2 .* now 3")
    text = listed.read_text()
    listed.write_text(text + "\n")
    one_line(call("detect", *again), "manifest.json: list: found .*another --out")
    listed.write_text(text)
    weights = case / "tiny.weights"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    one_line(call("detect", *again), "weights: found")
    (case / "out" / "manifest.json").write_text("{")
    one_line(call("detect", *again), "manifest.json:1: column 2: found no json")
    (case / "out" / "manifest.json").write_text("[]")
    one_line(call("detect", *again), "manifest.json: found no manifest")


def test_wrong_options_are_one_line(call, case, listed, four):
    for wrong in ("3/2", "1/0", "1", "-1/2", "a/b"):
        bad_option(call("detect", *SHARED, f"--shard={wrong}"), r"--shard: found '.*', expected I/N")
    shared = (*DETECT, "--shard", "1/2")
    one_line(call("detect", *shared, "long.txt"), "found no --out, expected a folder")
    one_line(call("detect", *shared, "long.txt", "four", "--out", "x"), "2 sources: found no list, expected one")
    one_line(call("detect", *shared, "four", "--out", "x"), "four: found no list, expected one text file")
    one_line(call("detect", *shared, four.images[0], "--out", "x"), "p0.png: found a PNG image, expected a text")
    (case / "empty.txt").write_text("\n")
    one_line(call("detect", *shared, "empty.txt", "--out", "x"), "empty.txt: found no image, expected one path")
    assert not (case / "x").exists()
    one_line(call("detect", *SHARED, "--shard", "1/2", "--crops", "c"), "--crops: found with a list .*--out alone")


def test_a_shard_has_one_process_at_a_time(call, case, listed):
    """A second process stops before it reads the network; other shards run beside it; a killed process's lock does not
    count. With another number of shards, 2/4 has no part of 1/2, but 1/4 has."""
    broken = ("detect", "--cfg", "tiny.cfg", "--weights", "tiny.cfg", *SHARED[4:], "--shard")
    with alone_in_shard(case / "out", Shard(1, 2)):
        one_line(call(*broken, "1/2"), f"out: found another process that writes shard 1/2 .*{os.getpid()}")
        one_line(call(*broken, "1/4"), "out: found another process that writes shard 1/2 in this folder")
        one_line(call(*broken, "1/1"), "out: found another process that writes shard 1/2 in this folder")
        assert call("detect", *SHARED, "--shard", "2/2")[0] == 0
        assert call("detect", *SHARED, "--shard", "2/4")[0] == 0
        (case / "out" / ".shard-1-of-2.lock").rename(case / "locked")
    (case / "locked").rename(case / "out" / ".shard-1-of-2.lock")
    assert call("detect", *SHARED, "--shard", "1/1")[0] == 0
    assert len(rows_of(case / "out")) == 19 and not list((case / "out").glob(".*"))
    one_line(call(*broken, "1/2", "--out", "new/folder"), "tiny.cfg: found")
    assert not (case / "new").exists()


def test_processes_of_torchrun_share_the_list_and_a_shard(call, case, listed, monkeypatch):
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert "shard 1/2: 5 parts of 2 lines, 0 complete" in call("detect", *SHARED)[1]
    assert {row["line"] for row in rows_of(case / "out")} == {3, 7, 8, 11, 12, 15, 16, 19, 20}
    assert command._shard((2, 3)) == Shard(5, 6)  # the second process of the third of three machines
    monkeypatch.delenv("LOCAL_RANK")
    assert command._shard(None) is None


def test_a_short_list_has_parts_for_every_shard(call, case, listed):
    short = [option for option in SHARED if option not in ("--part-size", 2)]
    assert "shard 1/4: 3 parts of 2 lines" in call("detect", *short, "--shard", "1/4")[1]
    manifest = json.loads((case / "out" / "manifest.json").read_text())
    assert manifest["part_size"] == 2  # 20 lines, four parts for each of four shards


def test_parquet_parts_hold_the_same_rows(call, case, listed):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert call("detect", *SHARED, "--shard", "1/1")[0] == 0
    code, _, err = call("detect", *SHARED, "--shard", "1/1", "--parts", "parquet", "--out", "table")
    assert code == 0, err
    rows = [row for part in sorted((case / "table").glob("*.parquet")) for row in parquet.read_table(part).to_pylist()]
    expected = [{name: row[name] for name in rows[0]} for row in rows_of(case / "out")]
    assert rows == expected


def test_parquet_without_its_package_is_one_line(call, case, listed, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused = call("detect", *SHARED, "--shard", "1/1", "--parts", "parquet")
    one_line(refused, r"--parts parquet needs the package pyarrow: pip install 'yolo-darknet\[parquet\]'")


def test_a_long_list_is_never_in_memory(tmp_path):
    """50,000 lines of 60 characters are 3 MB as a file, and some 10 MB as a list of paths."""
    path = tmp_path / "long.txt"
    with path.open("w") as file:
        file.writelines(f"/data/images/of/a/folder/with/a/long/name/{number:012d}.jpg\n" for number in range(50_000))
    images = shard_images(path, Shard(1, 25), 1000, lambda part: part == 26)
    tracemalloc.start()
    try:
        found, last = 0, None
        for last in images:  # noqa: B007 - the last one is compared
            found += 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(last, ListedImage) and (last.part, last.line, found) == (1, 2000, 1000)
    assert peak < 2**20


@pytest.mark.slow
def test_a_killed_process_costs_no_image(case, four):
    """Two processes, one is killed (SIGKILL) between two parts; all of them start again."""
    (case / "long.txt").write_text("".join(f"{four.images[number % 4]}\n" for number in range(3000)))

    def start(number):
        options = [*DETECT, "long.txt", "--out", "out", "--part-size", "20", "--shard", f"{number}/2"]
        return subprocess.Popen([sys.executable, "-m", "yolo", "detect", *options], cwd=case, stdout=subprocess.DEVNULL)

    processes = [start(1), start(2)]
    deadline = time.monotonic() + 300
    while len(list((case / "out").glob("part-*[13579].jsonl"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    processes[0].send_signal(signal.SIGKILL)  # shard 1 has the odd parts
    assert [process.wait() for process in processes] == [-signal.SIGKILL, 0]
    done = {path.name: path.read_bytes() for path in (case / "out").glob("part-*")}
    assert 75 + 3 <= len(done) < 150
    for process in [start(1), start(2)]:
        assert process.wait() == 0
    lines = []
    for path in (case / "out").glob("part-*"):
        with suppress(KeyError):
            assert path.read_bytes() == done[path.name]
        lines += [json.loads(row)["line"] for row in path.read_text().splitlines()]
    assert sorted(lines) == list(range(1, 3001))
    assert not list((case / "out").glob(".*"))
