"""yolo.formats.darknet_json: Darknet's own json is read, ours comes back, every bad entry is named."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.detection_files import FILES, SIZES, detections_of, grouped, images_of, near_detections
from yolo.errors import DatasetError
from yolo.formats.darknet_json import frames_to_detections, read_darknet_json, write_darknet_json

# As AlexeyAB's detection_to_json prints it: six decimals, an object a line, a Windows path
DARKNET = r"""[
{
 "frame_id":1,
 "filename":"data\\a.jpg",
 "objects": [
  {"class_id":1, "name":"dog", "relative_coordinates":{"center_x":0.250000, "center_y":0.500000, "width":0.300000, "height":0.500000}, "confidence":0.991234},
  {"class_id":0, "name":"cat", "relative_coordinates":{"center_x":0.500000, "center_y":0.500000, "width":1.000000, "height":1.000000}, "confidence":0.250000}
 ]
},
{
 "frame_id":2,
 "filename":"/x/e.f.png",
 "objects": [ ]
},
{
 "frame_id":3,
 "filename":"c-d.jpg",
 "objects": [ ]
}
]
"""  # noqa: E501


def frame(file_name, *objects):
    return {"frame_id": 1, "filename": file_name, "objects": list(objects)}


def thing(**changed):
    box = {"center_x": 0.5, "center_y": 0.5, "width": 0.25, "height": 0.5}
    box.update({key: value for key, value in changed.items() if key in box})
    entry = {"class_id": 0, "name": "cat", "relative_coordinates": box, "confidence": 0.5}
    return entry | {key: value for key, value in changed.items() if key not in box}


def stored(folder, content) -> Path:
    path = folder / "result.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_darknets_own_json_is_read(tmp_path):
    found = frames_to_detections(read_darknet_json(stored(tmp_path, DARKNET)), images_of())
    # by hand in 100 x 80: 25 -+ 15, 40 -+ 20
    assert grouped(found).tolist() == [
        [0, 0, 0.25, 0, 0, 100, 80],
        [0, 1, 0.991234, 10, 20, 40, 60],
    ]


@given(near_detections(), st.sampled_from([0.0, 1.0]))
@settings(max_examples=50, deadline=None)
def test_detections_are_read_back_to_a_billionth_of_the_image(detections, origin):
    images = images_of(origin=origin)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.json"
        write_darknet_json(path, images, detections)
        back = grouped(frames_to_detections(read_darknet_json(path), images))
        assert [each["filename"] for each in json.loads(path.read_text())] == [*FILES]
    expected = grouped(detections)
    assert np.array_equal(back[:, :3], expected[:, :3])
    assert np.abs(back[:, 3:] - expected[:, 3:]).max(initial=0) <= 1e-9 * SIZES.max()


def test_every_image_has_a_frame_with_darknets_keys(tmp_path):
    write_darknet_json(tmp_path / "r.json", images_of(), detections_of((0, 1, 0.75, 10, 20, 40, 60)))
    content = json.loads((tmp_path / "r.json").read_text())
    expected = json.loads(DARKNET)[0]["objects"][0] | {"confidence": 0.75}
    assert content[0] == {"frame_id": 1, "filename": "a.jpg", "objects": [expected]}
    assert content[2] == {"frame_id": 3, "filename": "e.f.png", "objects": []}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"confidence": float("nan")}, "found confidence nan, expected a finite number"),
        ({"confidence": "1"}, "found confidence '1', expected a finite number"),
        ({"center_y": float("inf")}, "found {'center_x': 0.5, 'center_y': inf"),
        ({"width": 1e308}, "found {'center_x': 0.5, 'center_y': 0.5, 'width': 1e+308"),
        ({"center_x": 320}, "found {'center_x': 320, 'center_y': 0.5, 'width': 0.25, 'height': 0.5}, "
         "expected center and size in 0..1 of the image, no pixels"),
        ({"center_y": -2.1}, "found {'center_x': 0.5, 'center_y': -2.1, 'width': 0.25"),
        ({"relative_coordinates": [1, 2]}, "found [1, 2], expected finite numbers center_x"),
        ({"relative_coordinates": {}}, "found {}, expected finite numbers center_x, center_y"),
        ({"name": "dog"}, "found class 0 'dog', expected 'cat' as before"),
        ({"class_id": "0"}, "found class '0' 'cat', expected its number and its name"),
    ],
)  # fmt: skip
def test_a_bad_object_is_named(tmp_path, changed, message):
    path = stored(tmp_path, [frame("a.jpg"), frame("b.jpg", thing(), thing(**changed))])
    with pytest.raises(DatasetError) as error:
        read_darknet_json(path)
    assert str(error.value).startswith(f"{path}: frame 2, object 2: {message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            DARKNET[:300],
            ":7: column 77: found no json (Unterminated string starting at), the file breaks",
        ),
        ({}, ": found json dict, expected a list of frames"),
        ([7], ": frame 1: found 7, expected an object with filename"),
        ([{"frame_id": 1, "objects": []}], ": frame 1: found {'frame_id': 1, 'objects': []}"),
        ([{"filename": "a.jpg"}], ": frame 1: found objects None, expected a list"),
        ([frame("a.jpg", {"class_id": 1})], ": frame 1, object 1: found {'class_id': 1}, expected"),
    ],
)
def test_a_file_that_is_not_a_list_of_frames_is_an_error_of_one_line(tmp_path, content, message):
    path = stored(tmp_path, content)
    with pytest.raises(DatasetError) as error:
        read_darknet_json(path)
    assert str(error.value).startswith(f"{path}{message}")


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([frame("z.jpg")], "frame 1: found 'z.jpg', expected one of the 3 images of the ground truth"),
        ([frame("a.jpg"), frame("x/a.png")],
         "frame 2: found 'x/a.png' again, expected it once (it is frame 1)"),
        ([frame("a.jpg")],
         "found frames of 1 of the 3 images of the ground truth, none of b/c-d.jpg, expected a frame of every image, "
         "also where nothing was detected; same list of images?"),
        ([frame("a.jpg", thing(name="emu")), frame("c-d.jpg"), frame("e.f.jpg")],
         "frame 1: found class 'emu', expected one of the 3 of the ground truth"),
    ],
)  # fmt: skip
def test_frames_that_do_not_fit_the_ground_truth_are_named(tmp_path, frames, message):
    path = stored(tmp_path, frames)
    with pytest.raises(DatasetError) as error:
        frames_to_detections(read_darknet_json(path), images_of())
    assert str(error.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"C:\new\t0.jpg", "C:\\new\\t0.jpg"),  # as Darknet writes it on Windows: no line break, no tab
        (r"data\a.jpg", "data\\a.jpg"),
        (r"\\server\share\b.jpg", "\\\\server\\share\\b.jpg"),
        (r"D:\x\u00e9\f.jpg", "D:\\x\\u00e9\\f.jpg"),
        (r"C:\\new\\t0.jpg", "C:\\new\\t0.jpg"),  # escaped, as in valid JSON
        (r"caf\u00e9\/a.jpg", "café/a.jpg"),
        (r"a\"b.jpg", 'a"b.jpg'),
        ("café.jpg", "café.jpg"),
    ],
)
def test_file_names_are_read_as_meant(tmp_path, written, meant):
    path = stored(tmp_path, '[{"frame_id": 1, "filename" : "' + written + '", "objects": []}]')
    assert read_darknet_json(path).files == (meant,)


def test_names_that_may_be_either_are_read_as_the_other_names_of_the_file(tmp_path):
    for other, meant in ((r"C:\x.jpg", r"\u00e9.jpg"), ("x.jpg", "é.jpg")):
        text = r'[{"filename":"OTHER","objects":[]}, {"filename":"\u00e9.jpg","objects":[]}]'
        assert read_darknet_json(stored(tmp_path, text.replace("OTHER", other))).files[1] == meant


def test_windows_paths_and_names_that_are_no_utf8_are_matched(tmp_path):
    path = tmp_path / "r.json"
    path.write_bytes(b'[{"filename":"C:\\new\\t0.jpg","objects":[]}, {"filename":"b\\caf\xe9.jpg","objects":[]}]')
    names = b"x/t0.png".decode(), b"caf\xe9.jpg".decode(errors="surrogateescape")
    images = replace(images_of(), files=names, sizes=SIZES[:2])
    assert len(frames_to_detections(read_darknet_json(path), images).scores) == 0


def test_equal_names_in_two_folders_are_distinguished_by_path(tmp_path):
    images = replace(images_of(), files=("/data/day/1.jpg", "/data/night/1.jpg", "/data/night/2.jpg"))
    frames = [frame("night\\1.jpg", thing()), frame("x/day/1.jpg"), frame("2.jpg")]
    found = frames_to_detections(read_darknet_json(stored(tmp_path, frames)), images)
    assert found.image_index.tolist() == [1]
    with pytest.raises(DatasetError) as error:
        frames_to_detections(read_darknet_json(stored(tmp_path, [frame("1.jpg")])), images)
    both = "/data/day/1.jpg or /data/night/1.jpg"
    assert str(error.value).endswith(f"frame 1: found '1.jpg', which may be {both}, expected a name with its folder")


def test_darknets_names_of_cocos_classes_are_known(tmp_path):
    coco = ("motorcycle", "airplane", "couch", "potted plant", "dining table", "tv")
    darknet = ("motorbike", "aeroplane", "sofa", "pottedplant", "diningtable", "tvmonitor")
    for found, names in ((darknet, coco), (coco, darknet)):
        things = [thing(class_id=at, name=name) for at, name in enumerate(found)]
        path = stored(tmp_path, [frame("a.jpg", *things), frame("c-d.jpg"), frame("e.f.png")])
        detections = frames_to_detections(read_darknet_json(path), replace(images_of(), names=names))
        assert detections.labels.tolist() == [0, 1, 2, 3, 4, 5]


def test_an_inverted_box_is_read_as_it_is(tmp_path):
    path = stored(tmp_path, [frame("a.jpg", thing(width=-0.2)), frame("c-d.jpg"), frame("e.f.png")])
    # by hand in 100 x 80: 50 -+ -10, 40 -+ 20
    assert frames_to_detections(read_darknet_json(path), images_of()).boxes.tolist() == [[60, 20, 40, 60]]
