"""What is drawn where, in which color, on images of every size. Expectations are by hand."""

import cv2
import numpy as np
import pytest

from yolo.detect import draw

NAMES = ["cat", "dog", "très long nom de classe", "кот"]
GRAY = 90


def plain(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GRAY, np.uint8)


def drawn_on(height: int, width: int, boxes: list, scores: list | None, labels: list) -> np.ndarray:
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    scores = None if scores is None else np.array(scores, np.float32)
    return draw.draw_detections(plain(height, width), boxes, scores, np.array(labels, int), NAMES)


def is_color(pixels: np.ndarray, color: tuple) -> np.ndarray:
    return (pixels == color).all(axis=-1)


def placed_in(image: np.ndarray, box: tuple, taken: list) -> tuple[int, int]:
    tag = draw.Tag("cat", draw.WHITE, box, draw.DETECTION_PLACES)
    return draw.place_of(tag, (50, 20), np.array(taken, int).reshape(-1, 4), image)


def test_no_detections_give_an_equal_copy():
    image = plain(48, 64)
    result = draw.draw_detections(image, np.empty((0, 4)), np.empty(0), np.empty(0, int), NAMES)
    assert np.array_equal(result, image)
    assert not np.shares_memory(result, image)


def test_the_image_given_stays_as_it_was():
    image = plain(120, 160)
    boxes, labels = np.array([[20.0, 30, 90, 100]]), np.array([1])
    draw.draw_detections(image, boxes, np.array([0.5]), labels, NAMES)
    draw.draw_ground_truth_and_predictions(image, boxes, labels, boxes, np.array([0.5]), labels, NAMES)
    assert (image == GRAY).all()


def test_an_outline_is_crisp_and_ends_at_the_box():
    # 240x240: side / 240 = a line of 1 pixel. The tag stands above: from row 100 on only the box.
    result = drawn_on(240, 240, [[60, 100, 180, 200]], [0.9], [0])
    expected = np.zeros((140, 240), bool)
    expected[0:100, 60:180] = True
    expected[1:99, 61:179] = False
    assert np.array_equal(is_color(result[100:], draw.class_color(0)), expected)
    assert (result[100:][~expected] == GRAY).all()


def test_lines_and_text_grow_with_the_image():
    small, large = draw.pen_for(plain(128, 160)), draw.pen_for(plain(3000, 4000))
    assert (small.line, small.text_height) == (1, 7)  # 143 / 240, and the least that can be read
    assert (large.line, large.text_height) == (14, 75)  # 3464.1 / 240, 3464.1 / 46


@pytest.mark.parametrize("size", [(48, 64), (128, 160), (600, 800)])
def test_a_capital_letter_has_the_height_of_the_pen(size):
    pen = draw.pen_for(plain(*size))
    canvas = np.zeros((200, 200), np.uint8)
    cv2.putText(canvas, "H", (50, 150), draw.FONT, pen.scale, 255, pen.stroke)
    rows = np.nonzero(canvas.any(axis=1))[0]
    assert abs(rows[-1] - rows[0] + 1 - pen.text_height) <= 2


def test_boxes_partly_outside_end_at_the_border():
    result = drawn_on(240, 240, [[-50, 100, 120.0, 900]], None, [1])
    assert draw.pixels_of((-50, 100, 120.0, 900), result) == (0, 100, 120, 240)
    assert draw.pixels_of((100, -50, 900, 30), result) == (100, 0, 240, 30)
    color = is_color(result, draw.class_color(1))
    assert color[150, 0] and color[150, 119] and color[239, 60]
    assert not color[150, 1] and not color[150, 120] and not color[238, 60]


@pytest.mark.parametrize("box", [[-9, 5, -1, 9], [64, 5, 80, 9], [5, -9, 9, -1], [5, 48, 9, 60]])
def test_boxes_wholly_outside_leave_no_trace(box):
    assert (drawn_on(48, 64, [box], [0.9], [0]) == GRAY).all()


def test_a_box_without_size_shows_as_one_pixel():
    result = drawn_on(300, 300, [[150, 200, 150, 200]], None, [0])
    assert draw.pixels_of((150, 200, 150, 200), result) == (150, 200, 151, 201)
    assert is_color(result[200, 150], draw.class_color(0))


def test_the_higher_score_is_on_top_in_any_order():
    boxes = [[60, 100, 180, 200], [60, 100, 180, 200]]
    first = drawn_on(240, 240, boxes, [0.9, 0.3], [0, 1])
    second = drawn_on(240, 240, boxes[::-1], [0.3, 0.9], [1, 0])
    assert np.array_equal(first, second)
    assert is_color(first[150, 60], draw.class_color(0))


def test_the_tag_is_on_its_box_and_is_filled_with_the_color_of_the_class():
    result = drawn_on(240, 240, [[60, 100, 180, 200]], [0.9], [1])
    pen = draw.pen_for(result)
    height = pen.text_height + 2 * pen.padding
    color = is_color(result, draw.class_color(1))
    assert color[100 - height, 60:100].all()  # the tag's upper edge
    assert not color[99 - height].any()
    assert is_color(result[100 - height : 100], draw.BLACK).any()  # the text, black on rose


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((30, 60, 200, 200), (30, 40)),  # room above
        ((30, 5, 200, 200), (30, 0)),  # hardly room above: down to the border
        ((270, 60, 290, 200), (250, 40)),  # no room to the right
    ],
)
def test_a_tag_stays_inside_the_image(box, expected):
    assert placed_in(plain(240, 300), box, []) == expected


def test_a_tag_gives_way_to_those_already_there():
    box, image = (30, 60, 200, 200), plain(240, 300)
    above, inside = (30, 40, 80, 60), (30, 60, 80, 80)
    assert placed_in(image, box, [above]) == (30, 60)  # hangs down inside instead
    assert placed_in(image, box, [above, inside]) == (150, 40)  # above, at the right end
    assert placed_in(image, box, [(0, 41, 300, 240)]) == (30, 40)  # full: where it hides least


def test_tags_of_boxes_that_coincide_do_not_hide_each_other():
    result = drawn_on(240, 240, [[60, 100, 180, 200]] * 3, [0.9, 0.8, 0.7], [0, 1, 2])
    for label in range(3):  # rows without letters; hidden tags would have none
        full_rows = is_color(result[:, 60:180], draw.class_color(label)).sum(axis=1) > 30
        assert full_rows.sum() >= 3


def test_names_give_way_to_the_width_and_keep_their_score():
    pen = draw.pen_for(plain(48, 64))
    assert draw.fitted_text("dog", "97%", 500, pen) == "dog 97%"
    assert draw.fitted_text("dog", "", 500, pen) == "dog"
    text = draw.fitted_text("a very long name", "97%", 64, pen)
    assert text.startswith("a") and text.endswith(".. 97%")
    assert draw.fitted_text("a very long name", "97%", 5, pen) == ""


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (40, 5), (16, 16), (128, 160)])
def test_images_too_small_for_a_name_still_get_their_box(size):
    height, width = size
    result = drawn_on(height, width, [[0, 0, width, height]], [1.0], [2])
    assert result.shape == (height, width, 3)
    assert is_color(result[-1, -1], draw.class_color(2))


def test_a_tag_higher_than_the_image_is_left_out():
    assert (drawn_on(5, 40, [[0, 0, 40, 5]], [1.0], [2])[1:-1, 1:-1] == GRAY).all()


def test_where_tags_must_overlap_the_higher_score_is_on_top():
    # 14 rows hold one tag of 7 + 2 * 3
    result = drawn_on(14, 60, [[0, 0, 60, 14]] * 2, [0.3, 0.9], [0, 1])
    assert is_color(result[1, 30], draw.class_color(1))


def test_names_become_what_the_font_has():
    assert draw.drawable("dog\t1", 4) == "dog?1"
    assert draw.drawable("", 4) == "#4"
    assert not (drawn_on(128, 160, [[10, 40, 90, 100]], [0.5], [3]) == GRAY).all()


@pytest.mark.skipif(cv2.__version__ < "5", reason="OpenCV 4 draws ASCII alone")
@pytest.mark.parametrize(
    "name", ["café au lait", "狗", "собака", "كلب", "σκύλος", "犬 いぬ", "한국어", "a狗b", "Ñandú"]
)
def test_names_in_other_scripts_are_drawn_as_they_are(name):
    assert draw.drawable(name, 4) == name
    box, score, label = [[20, 60, 220, 200]], [0.5], [0]
    shown = draw.draw_detections(np.full((240, 240, 3), GRAY, np.uint8), np.array(box), score, label, [name])
    other = draw.draw_detections(np.full((240, 240, 3), GRAY, np.uint8), np.array(box), score, label, ["?" * len(name)])
    assert (shown != other).any()


@pytest.mark.skipif(cv2.__version__ < "5", reason="OpenCV 4 draws ASCII alone")
def test_accents_that_are_letters_of_their_own_are_joined_with_theirs():
    assert draw.drawable("cafe\u0301", 4) == "café"


def test_letters_that_no_font_has_become_marks_or_the_number(monkeypatch):
    monkeypatch.setattr(draw, "has_glyph", lambda letter: " " <= letter <= "~")  # as with OpenCV 4
    assert draw.drawable("café au lait", 4) == "cafe au lait"
    assert draw.drawable("a狗b", 4) == "a?b"
    assert draw.drawable("кот", 4) == "#4"


@pytest.mark.parametrize("letter", ["\t", "\u200d", "\u0301", "\u3000"])
def test_what_cannot_be_seen_is_no_glyph(letter):
    assert not draw.has_glyph(letter)


def test_scores_are_percent():
    with_score = drawn_on(240, 240, [[60, 100, 180, 200]], [0.876], [1])
    names = ["cat", "dog 88%"]
    boxes = np.array([[60, 100, 180, 200]])
    by_name = draw.draw_detections(plain(240, 240), boxes, None, np.array([1]), names)
    assert np.array_equal(with_score, by_name)


def test_colors_of_classes_are_stable_and_far_apart():
    # By hand: hue 0.09, saturation 0.9, value 1: red 1, green 0.1 + 0.9 * 0.54, blue 0.1
    assert draw.class_color(0) == pytest.approx((255, 149, 25.5), abs=0.7)
    colors = np.float32([[draw.class_color(label) for label in range(20)]]) / 255
    lab = cv2.cvtColor(colors, cv2.COLOR_RGB2LAB)[0]
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    assert distance[np.triu_indices(20, 1)].min() > 29  # the constant's comment says 30


def test_text_is_black_or_white_by_contrast():
    assert draw.text_color((255, 255, 0)) == draw.BLACK
    assert draw.text_color((0, 0, 200)) == draw.WHITE
    # WCAG: gray 119 has luminance 0.184, more contrast with black; gray 115, 0.171, with white
    assert draw.text_color((119, 119, 119)) == draw.BLACK
    assert draw.text_color((115, 115, 115)) == draw.WHITE


def test_an_image_seen_through_a_flipped_view_is_drawn_on():
    bgr = np.zeros((120, 160, 3), np.uint8)
    bgr[..., 0] = 200  # blue
    arguments = np.array([[20.0, 30, 90, 100]]), np.array([0.5]), np.array([1]), NAMES
    result = draw.draw_detections(bgr[..., ::-1], *arguments)
    expected = draw.draw_detections(bgr[..., ::-1].copy(), *arguments)
    assert np.array_equal(result, expected)


def test_ground_truth_is_dashed_on_top_of_predictions_with_a_legend_below():
    boxes, labels = np.array([[60.0, 100, 180, 200]]), np.array([0])
    image = plain(240, 240)
    result = draw.draw_ground_truth_and_predictions(image, boxes, labels, boxes, np.array([0.9]), labels, NAMES)
    assert result.shape[0] > 240 and result.shape[1:] == (240, 3)
    right_edge = result[100:200, 179]  # no tag stands here; 9 pixels a period, 6 of them white
    white = np.arange(100) % 9 < 6
    assert np.array_equal(is_color(right_edge, draw.WHITE), white)
    assert np.array_equal(is_color(right_edge, draw.BLACK), ~white)
    legend = result[240:]
    for color in (draw.WHITE, draw.BLACK, draw.class_color(0), draw.PANEL):
        assert is_color(legend, color).any()


def test_ground_truth_without_predictions_and_predictions_without_ground_truth_are_ordinary():
    none, nothing = np.empty((0, 4)), np.empty(0, int)
    box, label = np.array([[60.0, 100, 180, 200]]), np.array([1])
    missed = draw.draw_ground_truth_and_predictions(plain(240, 240), box, label, none, np.empty(0), nothing, NAMES)
    invented = draw.draw_ground_truth_and_predictions(
        plain(240, 240), none, nothing, box, np.array([0.9]), label, NAMES
    )
    neither = draw.draw_ground_truth_and_predictions(plain(240, 240), none, nothing, none, np.empty(0), nothing, NAMES)
    assert is_color(missed[100, 179], draw.WHITE)
    assert is_color(missed[201:212, 61], draw.WHITE).all()  # its tag, below the box
    assert is_color(invented[100, 179], draw.class_color(1))
    assert (neither[:240] == GRAY).all()


@pytest.mark.parametrize("width", [1, 30, 100, 700])
def test_the_legend_is_as_wide_as_the_image_and_stacked_where_that_is_narrow(width):
    none, nothing = np.empty((0, 4)), np.empty(0, int)
    result = draw.draw_ground_truth_and_predictions(plain(60, width), none, nothing, none, np.empty(0), nothing, NAMES)
    # text of 7, so 6 of margin around a box of 14: 20 rows, twice where the samples are stacked
    assert result.shape == (60 + (20 if width == 700 else 40), width, 3)


def test_a_sheet_holds_every_image_in_its_cell():
    # cells 40 high, 60 wide, gap 10: a 20x60 image lies in rows 20..39 of its cell's 10..49
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    sizes = [(20, 60), (400, 100), (10, 15)]
    images = [np.full((*size, 3), color, np.uint8) for size, color in zip(sizes, colors, strict=True)]
    sheet = draw.contact_sheet(images, columns=2, cell=(40, 60), gap=10)
    expected = np.full((110, 150, 3), draw.PANEL, np.uint8)
    expected[20:40, 10:70] = colors[0]  # as it is
    expected[10:50, 105:115] = colors[1]  # a tenth
    expected[60:100, 10:70] = colors[2]  # four times as large
    assert np.array_equal(sheet, expected)


def test_a_sheet_of_fewer_images_than_columns_is_narrower():
    sheet = draw.contact_sheet([plain(40, 60)], columns=5, cell=(40, 60), gap=10)
    assert sheet.shape == (60, 80, 3)
    assert draw.contact_sheet([], columns=5, gap=10).shape == (10, 10, 3)


def test_a_sheet_without_columns_is_refused():
    with pytest.raises(ValueError, match="0 columns: expected 1 or more"):
        draw.contact_sheet([plain(4, 4)], columns=0)


def test_real_images_keep_every_pixel_that_is_not_drawn_on(shared):
    image = cv2.cvtColor(cv2.imread(str(shared / "images" / "dog.png")), cv2.COLOR_BGR2RGB)
    boxes = np.array([[130, 220, 310, 540], [120, 130, 570, 420], [470, 80, 690, 170]])
    result = draw.draw_detections(image, boxes, np.array([0.97, 0.93, 0.88]), np.array([1, 0, 0]), NAMES)
    changed = (result != image).any(axis=-1)
    assert 0 < changed.mean() < 0.07
    assert not changed[:40].any() and not changed[545:].any() and not changed[:, :115].any()


def test_many_tags_have_smaller_letters_and_leave_most_of_the_image_visible():
    """120 boxes in 700 x 640: at the usual size the tags alone would cover three quarters."""
    image, texts = plain(640, 700), [f"class{number}" for number in range(120)]
    usual, pen = draw.pen_for(image), draw.pen_for_tags(image, texts, True)
    sizes = [draw._tag_size(f"{text} 99%", pen) for text in texts]
    covered = sum(width * height for width, height in sizes) / (640 * 700)
    assert pen.line == usual.line and draw.MIN_TEXT_HEIGHT <= pen.text_height < usual.text_height
    assert 0.15 < covered < 0.3
    assert draw.pen_for_tags(image, texts[:10], True) == usual
    columns, rows = np.meshgrid(np.arange(12) * 58.0, np.arange(10) * 64.0)
    boxes = np.stack([columns, rows, columns + 40, rows + 40], axis=-1).reshape(-1, 4)
    drawn = draw.draw_detections(image, boxes, np.full(120, 0.9), np.arange(120), texts)
    assert (drawn == GRAY).all(axis=-1).mean() > 0.6


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("dog 90%", "dog 90%"),
        ("\u05d0\u05d1 90%", "\u05d1\u05d0 90%"),  # alef, bet: alef is read first, at the right
        ("bus \u05d0\u05d1 \u05d2. 5%", "bus \u05d2 \u05d1\u05d0. 5%"),
        ("\u0627(12)\u0628.. 7%", "\u0628(12)\u0627.. 7%"),  # the number keeps its order, the brackets still enclose it
        ("\u05d0 a \u05d1\u05d2", "\u05d0 a \u05d2\u05d1"),
    ],
)
def test_names_that_are_read_from_the_right_are_drawn_so(text, seen):
    assert draw.as_seen(text) == seen
    image, pen = np.zeros((40, 200, 3), np.uint8), draw.pen_for(np.zeros((400, 600, 3), np.uint8))
    expected = image.copy()
    draw._write(image, text, (5, 10), (255, 255, 255), pen)
    white = (255, 255, 255)
    cv2.putText(expected, seen, (5, 10 + pen.text_height), draw.FONT, pen.scale, white, pen.stroke, cv2.LINE_AA)
    assert np.array_equal(image, expected) and image.any()
