"""yolo.cfg: Darknet's text grammar, and mistakes named with file, line, key, what was found and what was expected."""

import pytest

from yolo.cfg import Entry, check_overrides, override, parse_cfg, read_cfg
from yolo.errors import CfgError


def section(*lines):
    """The one section of a cfg `[net]` with these lines; the first of them is line 2."""
    return parse_cfg("\n".join(("[net]", *lines)), "x.cfg")[0]


def test_sections_keep_order_kind_and_line():
    sections = parse_cfg("[net]\nbatch=1\n\n[convolutional]\n[yolo]\n", "x.cfg")
    assert [(s.kind, s.line) for s in sections] == [("net", 1), ("convolutional", 4), ("yolo", 5)]


def test_network_is_another_name_for_net():
    assert parse_cfg("[network]\n", "x.cfg")[0].kind == "network"


def test_lines_beginning_with_hash_or_semicolon_are_comments():
    found = section("# batch=1", ";batch=2", "  # batch=3", "batch=4")
    assert found.entries == [Entry("batch", "4", 5)]


def test_whitespace_is_ignored_everywhere():
    found = parse_cfg("  [ n e t ]\n\t anch ors =  1, 2 ,\t3 \n \t \n", "x.cfg")[0]
    assert found.kind == "net"
    assert found.integers("anchors") == (1, 2, 3)


def test_windows_line_endings_and_a_byte_order_mark_are_ignored(tmp_path):
    path = tmp_path / "dos.cfg"
    path.write_bytes(b"\xef\xbb\xbf[net]\r\nbatch=8\r\n\r\n[route]\r\nlayers=-1,-2\r\n")
    net, route = read_cfg(path)
    assert net.integer("batch") == 8
    assert route.integers("layers") == (-1, -2)


def test_bytes_that_are_not_utf8_are_accepted_in_a_comment(tmp_path):
    path = tmp_path / "old.cfg"
    path.write_bytes(b"# gr\xfc\xdfe\n[net]\nbatch=8\n")
    assert read_cfg(path)[0].integer("batch") == 8


def test_the_first_of_equal_keys_counts():
    assert section("batch=1", "batch=64").integer("batch") == 1


def test_a_value_may_contain_an_equals_sign():
    assert section("note=a=b").text("note") == "a=b"


def test_numbers_and_lists_end_at_a_hash():
    # `180 ###P6` stands in cspx-p7-mish.cfg
    found = section("a=12,16, 180 ###P6", "b=3#4", "c=.5 # half")
    assert found.integers("a") == (12, 16, 180)
    assert found.integer("b") == 3
    assert found.number("c") == 0.5


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1.0), (".1", 0.1), ("-2.", -2.0), ("+3", 3.0), ("1e-5", 1e-5), ("1.5E3", 1500.0)],
)
def test_numbers_are_read_as_c_writes_them(text, value):
    assert section(f"key={text}").number("key") == value


def test_whole_numbers_may_end_in_a_point_and_zeros():
    assert section("batch=64.0").integer("batch") == 64
    assert section("batch=-1").integer("batch") == -1


def test_zero_is_false_and_every_other_whole_number_true():
    # bool("0") is True: the fault of the closest peer
    found = section("pad=0", "flip=1", "log=2")
    assert [found.flag("pad", True), found.flag("flip"), found.flag("log")] == [False, True, True]


def test_a_missing_key_has_the_default():
    found = section()
    assert found.integer("a", 3) == 3
    assert found.number("b", 0.5) == 0.5
    assert found.text("c", "leaky") == "leaky"
    assert found.flag("d") is False and found.flag("d", True) is True
    assert found.integers("e", ()) == () and found.numbers("f", (1.0,)) == (1.0,)
    assert found.choice("g", "mse", ("mse", "iou")) == "mse"


@pytest.mark.parametrize(
    ("line", "read", "message"),
    [
        ("size=three", lambda s: s.integer("size"), "size: found 'three', expected a whole number; Darknet reads 0"),
        ("size=1.5", lambda s: s.integer("size"), "size: found '1.5', expected a whole number; Darknet reads 1"),
        ("size=1e3", lambda s: s.integer("size"), "size: found '1e3', expected a whole number; Darknet reads 1"),
        (
            "size=9999999999",
            lambda s: s.integer("size"),
            "size: found '9999999999', expected a whole number",
        ),
        (
            "size=0",
            lambda s: s.integer("size", minimum=1),
            "size: found '0', expected a whole number of at least 1",
        ),
        ("pad=yes", lambda s: s.flag("pad"), "pad: found 'yes', expected a whole number; Darknet reads 0"),
        ("jitter=1,5", lambda s: s.number("jitter"), "jitter: found '1,5', expected a number; Darknet reads 1"),
        ("jitter=nan", lambda s: s.number("jitter"), "jitter: found 'nan', expected a number"),
        ("jitter=1e999", lambda s: s.number("jitter"), "jitter: found '1e999', expected a number"),
        (
            "jitter=-.1",
            lambda s: s.number("jitter", minimum=0),
            "jitter: found '-.1', expected a number of at least 0",
        ),
        ("mask=0,,2", lambda s: s.integers("mask"), "mask: found '', expected a whole number; Darknet reads 0"),
        ("mask=0,,1", lambda s: s.integers("mask"), "mask: found '', expected a whole number; Darknet reads 0"),
        ("anchors=1,x", lambda s: s.numbers("anchors"), "anchors: found 'x', expected a number; Darknet reads 0"),
        ("a=١", lambda s: s.integer("a"), "a: found '١', expected a whole number"),
        (
            "loss=mes",
            lambda s: s.choice("loss", "mse", ("mse", "iou")),
            "loss: found 'mes', expected one of mse, iou",
        ),
    ],
)
def test_an_error_in_a_value_names_file_line_key_found_and_expected(line, read, message):
    with pytest.raises(CfgError) as caught:
        read(section("batch=1", line))
    assert str(caught.value) == f"x.cfg:3: [net] {message}"


def test_letters_after_a_number_are_skipped_as_by_atoi_and_logged_once(caplog):
    # angle=0y and steps=16000d stand in published cfgs
    found = section("angle=0y", "steps=16000d,18000", "width=416px")
    assert (found.number("angle"), found.integers("steps")) == (0, (16000, 18000))
    assert [found.integer("width") for _ in range(2)] == [416, 416]
    assert [record.message for record in caplog.records] == [
        "x.cfg:2: [net] angle: found '0y', read as 0, as Darknet does",
        "x.cfg:3: [net] steps: found '16000d', read as 16000, as Darknet does",
        "x.cfg:4: [net] width: found '416px', read as 416, as Darknet does",
    ]


@pytest.mark.parametrize(
    ("text", "read"), [("400k", "400"), ("1e", "1"), ("0x10", "0"), ("64x64", "64"), ("1.5M", "1.5"), ("-2_0", "-2")]
)
def test_what_darknet_reads_otherwise_than_meant_is_an_error_with_the_reason(text, read):
    with pytest.raises(CfgError, match=f"found '{text}', expected a number; Darknet reads {read}$"):
        section(f"scale={text}").number("scale")


def test_an_unknown_word_is_an_error_or_the_default_with_a_warning(caplog):
    with pytest.raises(CfgError, match=r"expected one of mse, iou; Darknet takes iou instead$"):
        section("iou_loss=mes").choice("iou_loss", "mse", ("mse", "iou"), "iou")
    assert section("nms_kind=greedy").choice_or_default("nms_kind", "default", ("default", "greedynms")) == "default"
    expected = "expected one of default, greedynms; default is taken, as Darknet does"
    assert [record.message for record in caplog.records] == [f"x.cfg:2: [net] nms_kind: found 'greedy', {expected}"]


def test_a_missing_key_is_named_with_the_line_of_its_section():
    route = parse_cfg("[net]\n[route]\n", "x.cfg")[1]
    with pytest.raises(CfgError, match=r"^x\.cfg:2: \[route\] layers: found nothing, expected a value$"):
        route.integers("layers")


def test_a_long_wrong_value_is_shortened_to_one_line():
    with pytest.raises(CfgError) as caught:
        section("size=" + "9" * 500).integer("size")
    assert len(str(caught.value)) < 150 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[net]\n\nfilters 3\n", "x.cfg:3: found 'filters3', expected key=value"),
        ("[net]\nfilters=\n", "x.cfg:2: found 'filters=', expected key=value"),
        ("[net]\n=3\n", "x.cfg:2: found '=3', expected key=value"),
        ("[net]\n[yolo\n", "x.cfg:2: found '[yolo', expected [section]"),
        (
            "# c\nbatch=1\n[net]\n",
            "x.cfg:2: found 'batch=1' before the first [section], expected [net]",
        ),
        ("\n[yolo]\n", "x.cfg:2: found [yolo], expected [net] first"),
        ("# nothing\n", "x.cfg: found no [section], expected [net] and the layers after it"),
        ("", "x.cfg: found no [section], expected [net] and the layers after it"),
    ],
)
def test_a_malformed_line_is_named(text, message):
    with pytest.raises(CfgError) as caught:
        parse_cfg(text, "x.cfg")
    assert str(caught.value) == message


def test_unread_keys_are_listed_with_their_lines():
    found = section("batch=1", "mosaic=1", "blur=2")
    found.integer("batch")
    assert found.unread() == [Entry("mosaic", "1", 3), Entry("blur", "2", 4)]


def test_a_repeated_key_with_another_value_is_unread_and_with_the_same_value_is_not():
    found = section("batch=1", "batch=64", "batch=1")
    found.integer("batch")
    assert found.unread() == [Entry("batch", "64", 3)]


def test_has_does_not_mark_a_key_as_read():
    found = section("batch=1")
    assert found.has("batch") and not found.has("size")
    assert len(found.unread()) == 1


def test_override_replaces_values_of_net_and_does_not_change_its_argument():
    sections = parse_cfg("[net]\nbatch=64\nwidth=416\n[yolo]\nbatch=9\n", "x.cfg")
    changed = override(sections, {"batch": "8", "height": "96"})
    assert [changed[0].integer(key) for key in ("batch", "width", "height")] == [8, 416, 96]
    assert changed[1].integer("batch") == 9
    assert sections[0].integer("batch") == 64 and not sections[0].has("height")


def test_a_comma_at_the_end_is_ignored():
    (section,) = parse_cfg("[net]\nsteps=1,2,\nscales=.5,\n", "x.cfg")
    assert section.integers("steps") == (1, 2) and section.numbers("scales") == (0.5,)


TWO_HEADS = "[net]\nbatch=4\n[yolo]\nclasses=2\n[conv]\nsize=1\n[yolo]\nclasses=2\nmask=0\n"


@pytest.mark.parametrize(
    ("given", "heads", "batch"),
    [
        ({"yolo.classes": "3"}, ("3", "3"), "4"),
        ({"yolo:2.classes": "3"}, ("2", "3"), "4"),
        ({"yolo:0.classes": "3", "batch": "8"}, ("3", "2"), "8"),
        ({"net.batch": "8"}, ("2", "2"), "8"),
    ],
)
def test_values_of_a_command_line_reach_net_all_sections_of_a_kind_or_one_layer(given, heads, batch):
    sections = parse_cfg(TWO_HEADS, "x.cfg")
    changed = override(sections, given)
    assert tuple(changed[number].text("classes") for number in (1, 3)) == heads
    assert changed[0].text("batch") == batch and changed[3].text("mask") == "0"
    assert sections[1].text("classes") == "2"  # the argument is not changed


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"yolo:1.classes": "3"}, r"x.cfg: found yolo:1.classes, expected the number of a \[yolo\] layer: 0, 2"),
        ({"yolo:x.classes": "3"}, "expected the number of a"),
        ({"yoIo.classes": "3"}, r"but no section \[yoIo\]; did you mean yolo.classes\?"),
        ({"shortcut.from": "3"}, "but no section .*; expected one of conv, net, yolo"),
        ({"bacth": "3"}, r"found bacth=3 for \[net\], expected a key that is read; did you mean batch\?"),
        ({"yolo.clases": "3"}, r"found yolo.clases=3 for \[yolo\], .*; did you mean yolo.classes\?"),
        ({"classes": "3"}, r"found classes=3 for \[net\], .*; did you mean yolo.classes\?"),
        ({"yolo.zzz": "3"}, "expected a key that is read$"),
    ],
)
def test_a_misspelt_key_or_section_gets_a_hint(given, match):
    with pytest.raises(CfgError, match=match):
        sections = override(parse_cfg(TWO_HEADS, "x.cfg"), given)
        sections[0].text("batch")
        for head in (1, 3):
            sections[head].text("classes")
        check_overrides(sections, given)
