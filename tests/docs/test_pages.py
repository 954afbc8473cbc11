"""The documentation is correct: quoted lines are in the code, links have targets, translations have the commands."""

import importlib.util
import re

import pytest

from tests.conftest import PROJECT
from yolo.cfg import read_cfg

LESSON, LESSON_ZH = PROJECT / "docs/yolov3.md", PROJECT / "docs/yolov3.zh-CN.md"
README, README_ZH = PROJECT / "README.md", PROJECT / "README.zh-CN.md"
PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), PROJECT / "weights/README.md"])
OTHER_PROGRAMS = {"--build-arg", "--onnx"}  # docker, trtexec
TRANSLATIONS = [(LESSON, LESSON_ZH), (README, README_ZH)]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| (?:`\[(\w+)\]` )?`(\w+)` \| ([^|]+) \| ([^|]+) \|", re.MULTILINE)
HEADER = re.compile(r"^\| `\[(\w+)\]` \|", re.MULTILINE)


def blocks(path):
    """(language, lines) of each code block."""
    return [(language, text.splitlines()) for language, text in BLOCK.findall(path.read_text("utf-8"))]


def slug(heading):
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def cfg_rows(path):
    """(section, key) → (value, meaning) of the tables that explain yolov3.cfg."""
    rows, section = {}, None
    for line in path.read_text("utf-8").splitlines():
        header, row = HEADER.match(line), ROW.match(line)
        if header:
            section = header[1]
        elif row and (row[1] or section):
            rows[row[1] or section, row[2]] = row[3].strip(), row[4].strip()
        elif not line.startswith("|"):
            section = None
    return rows


@pytest.mark.parametrize("path", [LESSON, LESSON_ZH], ids=lambda path: path.name)
def test_every_quoted_line_is_in_the_file_that_the_quotation_names(path):
    quotations = [lines for language, lines in blocks(path) if language == "python"]
    assert len(quotations) > 15
    for first, *quoted in quotations:
        file, names = re.fullmatch(r"# (yolo/[\w/]+\.py): ([\w., ]+)", first).groups()
        code = (PROJECT / file).read_text("utf-8")
        for name in re.findall(r"\w+", names):
            assert re.search(rf"(def|class) {name}\b", code), f"{file} has no {name}"
        present = {line.strip() for line in code.splitlines()}
        assert not [line for line in quoted if line.strip() not in present], file


@pytest.mark.parametrize("path", [LESSON, LESSON_ZH], ids=lambda path: path.name)
def test_the_tables_of_yolov3_cfg_name_all_its_keys_with_their_values(path):
    rows = cfg_rows(path)
    found = {}
    for section in read_cfg(PROJECT / "cfg/yolov3.cfg"):
        for entry in section.entries:
            found.setdefault((section.kind, entry.key), set()).add(entry.value.replace(" ", ""))
    assert set(rows) == set(found)
    for place, values in found.items():
        if len(values) == 1 and place[1] != "anchors":
            assert rows[place][0] == values.pop(), place


def test_the_meanings_of_the_keys_are_those_of_the_support_table():
    meanings = set(
        re.findall(r"^\| `\w+` \|.*\| ([^|]+) \|$", (PROJECT / "docs/supported.md").read_text("utf-8"), re.MULTILINE)
    )
    assert not {meaning for _, meaning in cfg_rows(LESSON).values()} - meanings


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_to_a_file_or_a_heading(path):
    text = BLOCK.sub("", path.read_text("utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert targets or path not in (LESSON, LESSON_ZH, README, README_ZH)
    for target in targets:
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        other = (path.parent / file).resolve() if file else path
        assert other.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", other.read_text("utf-8")), re.MULTILINE)
            assert anchor in map(slug, headings), target


def test_every_option_that_a_page_names_is_one_of_a_command():
    sources = [
        path.read_text("utf-8") for folder in ("yolo", "benchmarks") for path in (PROJECT / folder).rglob("*.py")
    ]
    options = set(re.findall(r"[\"'](--[a-z][a-z0-9-]*)", "\n".join(sources))) | OTHER_PROGRAMS
    for path in PAGES:
        if path.name != "log.md":  # its options are those of its dates
            named = re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", BLOCK.sub("", path.read_text("utf-8")))
            assert set(named) <= options, (path.name, set(named) - options)


@pytest.mark.parametrize("pair", TRANSLATIONS, ids=lambda pair: pair[1].name)
def test_a_translation_has_the_same_commands_and_images(pair):
    english, chinese = (
        [_without_comments(lines) for language, lines in blocks(path) if language != "text"] for path in pair
    )
    assert chinese == english
    images = [re.findall(r"!\[[^]]*\]\(([^)]+)\)", path.read_text("utf-8")) for path in pair]
    assert images[0] == images[1]


def _without_comments(lines):
    """The lines of a block as both languages have them: without comments, and without drawings made of text."""
    kept = [re.sub(r"\s+# .*", "", line).rstrip() for line in lines]
    return [line for line in kept if line.isascii()]


@pytest.mark.slow
def test_the_images_can_be_drawn_again(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("pictures", PROJECT / "docs/pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "OUT", tmp_path)
    module.main()
    names = sorted(path.name for path in (PROJECT / "docs/yolov3").iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    shown = set(re.findall(r"\(yolov3/(\w+\.png)\)", LESSON.read_text("utf-8")))
    assert shown == set(names)
