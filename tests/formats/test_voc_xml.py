"""yolo.formats.voc_xml: annotations and image sets are read as they are, or are an error of one line."""

import pytest

from yolo.errors import DatasetError
from yolo.formats.voc_xml import (
    BAD_IMAGE_NAME,
    EMPTY_IMAGE_SET,
    EXTRA_COLUMNS,
    TWICE,
    AnnotatedObject,
    Annotation,
    ImageSet,
    image_files,
    read_annotation,
    read_annotation_parts,
    read_image_sets,
)

OBJECT = """<object><name>cat</name><difficult>1</difficult>
<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>50.5</xmax><ymax>7</ymax></bndbox></object>"""
SIZE = "<size><width>60</width><height>40</height><depth>3</depth></size>"


def written(tmp_path, text):
    path = tmp_path / "a.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def error_of(tmp_path, text):
    path = written(tmp_path, text)
    with pytest.raises(DatasetError) as caught:
        read_annotation(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message.removeprefix(str(path))


def test_an_annotation_gives_size_and_objects_as_written(tmp_path):
    path = written(tmp_path, f"<annotation>{SIZE}{OBJECT}</annotation>")
    item = AnnotatedObject("cat", 2.0, 3.0, 50.5, 7.0, True)
    assert read_annotation(path) == Annotation(60, 40, (item,))


def test_no_objects_no_size_and_no_difficult_are_ordinary(tmp_path):
    assert read_annotation(written(tmp_path, "<annotation/>")) == Annotation(0, 0, ())
    text = OBJECT.replace("<difficult>1</difficult>", "")
    assert not read_annotation(written(tmp_path, f"<annotation>{text}</annotation>")).objects[0].difficult


def test_the_parts_of_an_object_are_not_taken_for_the_object(tmp_path):
    part = "<part><name>head</name><bndbox><xmin>9</xmin></bndbox></part>"
    text = OBJECT.replace("<object>", "<object>" + part)
    item = read_annotation(written(tmp_path, f"<annotation>{text}</annotation>")).objects[0]
    assert (item.name, item.xmin) == ("cat", 2.0)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "iso-8859-1"])
def test_a_name_is_read_in_the_encoding_the_file_declares(tmp_path, encoding):
    head = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>'
    text = f"{head}<annotation>{OBJECT.replace('cat', 'Käfer')}</annotation>"
    assert read_annotation(written(tmp_path, text.encode(encoding))).objects[0].name == "Käfer"


BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;">]>
<annotation><object><name>&c;</name></object></annotation>"""
EXTERNAL = '<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>'


@pytest.mark.parametrize("text", [BOMB, EXTERNAL])
def test_a_document_type_is_refused(tmp_path, text):
    assert "document type" in error_of(tmp_path, text)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_document_type_cannot_hide_in_another_encoding(tmp_path, encoding):
    found = "declares a document type" if encoding == "utf-16" else "zero bytes"  # which has a byte order mark
    assert found in error_of(tmp_path, BOMB.encode(encoding))


@pytest.mark.parametrize("declared", ["", ' encoding="utf-16"', ' encoding="UTF-8"'])
def test_utf_16_with_a_byte_order_mark_is_read_with_any_declaration(tmp_path, declared):
    text = f'<?xml version="1.0"{declared}?><annotation>{OBJECT.replace("cat", "Käfer 图")}</annotation>'
    assert read_annotation(written(tmp_path, text.encode("utf-16"))).objects[0].name == "Käfer 图"
    assert "UTF-16 that breaks off" in error_of(tmp_path, text.encode("utf-16")[:-1])


@pytest.mark.parametrize("encoding", ["gb2312", "GBK", "gb18030", "big5", "shift_jis", "euc-jp", "EUC-KR"])
def test_east_asian_encodings_are_read_as_declared_and_hide_nothing(tmp_path, encoding):
    head = f"<?xml version='1.0' encoding='{encoding}'?>"
    text = f"{head}<annotation><folder>大人</folder>{OBJECT.replace('cat', '大人')}</annotation>"
    assert read_annotation(written(tmp_path, text.encode(encoding))).objects[0].name == "大人"
    assert "declares a document type" in error_of(tmp_path, (head + "<!--大-->" + EXTERNAL).encode(encoding))


@pytest.mark.parametrize("head", ["", '<?xml version="1.0"?>', '<?xml version="1.0" encoding="utf-8"?>'])
def test_bytes_that_are_not_utf_8_hurt_only_the_field_that_has_them(tmp_path, head):
    """A path in the code page of a Windows program: no label needs it. A class must be certain."""
    text = f"{head}<annotation><path>C:\\Bücher</path>{OBJECT}{OBJECT.replace('cat', 'Käfer')}</annotation>"
    good, bad = read_annotation_parts(written(tmp_path, text.encode("cp1252"))).objects
    assert (good.name, good.xmin) == ("cat", 2.0)
    assert bad == "<name> is 'K\ufffdfer', whose bytes are not UTF-8; the first line must declare their encoding"


@pytest.mark.parametrize("encoding", ["utf-7", "cp037", "nonsense"])
def test_an_encoding_that_is_no_superset_of_ascii_is_refused(tmp_path, encoding):
    assert "not XML" in error_of(tmp_path, f'<?xml version="1.0" encoding="{encoding}"?><annotation/>')


def test_an_undeclared_entity_is_refused(tmp_path):
    assert error_of(tmp_path, "<annotation>\n&lol;</annotation>").startswith(":2: not XML")


def test_a_file_cut_short_is_refused_with_its_line(tmp_path):
    assert error_of(tmp_path, f"<annotation>\n\n{SIZE}").startswith(":3: not XML")
    assert "not XML" in error_of(tmp_path, "")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("<name>cat</name>", "", "0 <name> and 1 <bndbox>"),
        ("cat", " ", "<name> is ''"),
        ("cat", "cat\ndog", "on one line"),
        ("</bndbox>", "</bndbox><bndbox/>", "2 <bndbox>"),
        ("<xmin>2</xmin>", "", "<bndbox> has no <xmin>"),
        ("<ymax>7", "<ymax>seven", "<ymax> is 'seven'"),
        ("<ymax>7", "<ymax>nan", "<ymax> is 'nan'"),
        ("<ymax>7", "<ymax>1e999", "<ymax> is '1e999'"),
        ("<ymax>7", "<ymax>1e300", "<ymax> is '1e300'"),
        ("<ymax>7", "<ymax>", "<ymax> is ''"),
        ("<ymax>7", "<ymax>1_7", "<ymax> is '1_7'"),
        ("<ymax>7", "<ymax>\u0667", "<ymax> is '\u0667'"),
        ("<difficult>1", "<difficult>maybe", "<difficult> is 'maybe'"),
    ],
)
def test_a_faulty_object_is_named_by_its_number(tmp_path, old, new, expected):
    text = f"<annotation>{SIZE}{OBJECT}{OBJECT.replace(old, new)}</annotation>"
    message = error_of(tmp_path, text)
    assert message.startswith(": object 2: ") and expected in message


def test_a_size_that_is_no_whole_number_is_refused(tmp_path):
    assert ": size: " in error_of(tmp_path, f"<annotation>{SIZE.replace('60', '60.5')}</annotation>")
    assert ": size: " in error_of(tmp_path, f"<annotation>{SIZE.replace('60', 'x')}</annotation>")


def test_another_kind_of_xml_is_refused(tmp_path):
    assert "<html>" in error_of(tmp_path, "<html/>")
    assert "<annotation>; CVAT for images writes this" in error_of(tmp_path, "<annotations/>")


def image_set(folder, name, text):
    sets = folder / "ImageSets" / "Main"
    sets.mkdir(parents=True, exist_ok=True)
    (sets / f"{name}.txt").write_text(text)
    return ImageSet(folder, name)


def test_an_image_set_gives_its_rows_in_order(tmp_path):
    rows, problems = read_image_sets([image_set(tmp_path, "a", "\ufeff2\r\n\n 1 \n")])
    assert (rows, problems) == ([(tmp_path, "2"), (tmp_path, "1")], [])


def test_a_row_listed_twice_is_kept_once_and_is_a_problem(tmp_path):
    sets = [image_set(tmp_path, "a", "1\n2\n"), image_set(tmp_path, "b", "2\n3\n")]
    rows, problems = read_image_sets(sets)
    assert [identifier for _, identifier in rows] == ["1", "2", "3"]
    assert [problem.kind for problem in problems] == [TWICE]
    assert "b.txt:1" in problems[0].message and "a.txt:2" in problems[0].message


def test_a_second_column_of_1_is_ignored_and_any_other_is_a_problem(tmp_path):
    rows, problems = read_image_sets([image_set(tmp_path, "cow_val", "000005 -1\n000007  1\n8.jpg 1\n")])
    assert [identifier for _, identifier in rows] == ["000005", "000007", "8"]
    assert [(each.kind, each.message.rpartition("/")[2]) for each in problems] == [
        (EXTRA_COLUMNS, "cow_val.txt:1: found '000005 -1', expected one image name")
    ]


def test_rows_may_have_folders_and_endings(tmp_path):
    text = "a/1\na/2.JPG\nJPEGImages/3.png\n./4\nb/c.d\n"
    rows, problems = read_image_sets([image_set(tmp_path, "default", text)])
    assert ([identifier for _, identifier in rows], problems) == (["a/1", "a/2", "3", "4", "b/c.d"], [])


def test_a_name_that_looks_like_more_is_taken_where_its_annotation_is(tmp_path):
    (tmp_path / "annotations").mkdir()
    for name in ("x.jpg", "my cat 1", "y"):
        (tmp_path / "annotations" / f"{name}.xml").touch()
    rows, problems = read_image_sets([image_set(tmp_path, "a", "x.jpg\nmy cat 1\ny.jpg\n")])
    assert ([identifier for _, identifier in rows], problems) == (["x.jpg", "my cat 1", "y"], [])


def test_a_name_that_is_not_utf_8_passes_through(tmp_path):
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "a.txt").write_bytes(b"caf\xe9\n")
    rows, problems = read_image_sets([ImageSet(tmp_path, "a")])
    assert (rows, problems) == ([(tmp_path, "caf\udce9")], [])


def test_a_file_name_with_a_space_is_no_extra_column(tmp_path):
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "my cat.xml").touch()
    rows, problems = read_image_sets([image_set(tmp_path, "a", "my cat\n")])
    assert (rows, problems) == ([(tmp_path, "my cat")], [])


def test_a_row_with_a_folder_in_it_is_a_problem(tmp_path):
    rows, problems = read_image_sets([image_set(tmp_path, "a", "../../etc/passwd\n1\n")])
    assert rows == [(tmp_path, "1")]
    assert [problem.kind for problem in problems] == [BAD_IMAGE_NAME]
    assert problems[0].message.endswith(
        "found '../../etc/passwd', expected one image name without folders above the images"
    )


def test_a_row_with_a_control_character_is_a_problem(tmp_path):
    rows, problems = read_image_sets([image_set(tmp_path, "a", "x\x1b[31m\n1\n")])
    assert (rows, [problem.kind for problem in problems]) == ([(tmp_path, "1")], [BAD_IMAGE_NAME])
    assert problems[0].message.endswith(
        r"a.txt:1: found 'x\x1b[31m', expected one image name without control characters"
    )


def test_an_empty_set_is_a_problem_and_an_absent_one_an_error(tmp_path):
    _, problems = read_image_sets([image_set(tmp_path, "a", "\n")])
    assert [problem.kind for problem in problems] == [EMPTY_IMAGE_SET]
    with pytest.raises(DatasetError, match=r"b\.txt: no such image set, expected one of a$"):
        read_image_sets([ImageSet(tmp_path, "b")])
    with pytest.raises(DatasetError, match=r"b\.txt: no such image set; .*Main has none"):
        read_image_sets([ImageSet(tmp_path / "nowhere", "b")])


def test_images_are_found_by_any_ending_in_any_folder_and_jpg_goes_first(tmp_path):
    folder = tmp_path / "JPEGImages"
    (folder / "sub").mkdir(parents=True)
    twice = [str(number) for number in range(12)]  # so many that the folder lists them in another order
    pairs = [f"{stem}{suffix}" for stem in twice for suffix in (".png", ".jpg")]
    single = ["a.JPG", "b.jpeg", "d.e.Png", "g.bmp", "h.TIF", "i.tiff", "j.WebP"]
    for name in (*single, "f.txt", "._a.jpg", ".hidden.jpg", "sub/k.bmp", *pairs):
        (folder / name).touch()
    expected = {name.rpartition(".")[0]: name for name in (*single, "sub/k.bmp")}
    assert image_files(folder) == expected | {stem: f"{stem}.jpg" for stem in twice}
    assert image_files(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    ("text", "difficult"),
    [("1", True), ("true", True), (" Yes ", True), ("0", False), ("Unspecified", False), ("", False), ("no", False)],
)
def test_difficult_is_read_as_programs_write_it(tmp_path, text, difficult):
    path = written(tmp_path, f"<annotation>{SIZE}{OBJECT.replace('<difficult>1', f'<difficult>{text}')}</annotation>")
    assert read_annotation(path).objects[0].difficult is difficult


def test_blanks_of_other_kinds_in_a_class_name_are_blanks(tmp_path):
    path = written(tmp_path, f"<annotation>{OBJECT.replace('cat', chr(160) + 'big' + chr(160) + 'cat')}</annotation>")
    assert read_annotation(path).objects[0].name == "big cat"


def test_the_usable_parts_of_an_annotation_survive_the_others(tmp_path):
    size = SIZE.replace("60", "sixty")
    path = written(tmp_path, f"<annotation><filename>b.png</filename>{size}<object/>{OBJECT}</annotation>")
    parts = read_annotation_parts(path)
    assert (parts.width, parts.height, parts.filename) == (0, 0, "b.png")
    assert parts.size_fault == "<width> is 'sixty', expected a number"
    assert parts.objects == (
        "found 0 <name> and 0 <bndbox>, expected one of each",
        AnnotatedObject("cat", 2.0, 3.0, 50.5, 7.0, True),
    )


def test_bccd_reads_whole(shared):
    paths = sorted((shared / "datasets" / "BCCD" / "Annotations").glob("*.xml"))
    assert sum(len(read_annotation(path).objects) for path in paths) == 4888  # counted by xml.etree


def test_a_file_too_large_for_one_image_is_refused_unread(tmp_path):
    path = tmp_path / "large.xml"
    with open(path, "wb") as file:
        file.truncate(9 * 2**20)  # no bytes on the disk
    with pytest.raises(DatasetError, match="large.xml: found more than 8388608 bytes for one image"):
        read_annotation(path)
