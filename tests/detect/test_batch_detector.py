"""yolo.BatchDetector: the rows of Detector, for every batch, alone and on a local Ray cluster."""

import sys

import numpy as np
import pytest

import yolo
from tests.conftest import PROJECT
from tests.helpers.tiny_data import NAMES, cfg_text, network_of
from yolo.data.images import read_image
from yolo.errors import DatasetError, MissingPackageError
from yolo.model.weights import save_weights


@pytest.fixture
def files(four, tmp_path):
    """Options of the tiny network's files."""
    network = network_of(cfg_text(), seed=1)
    (tmp_path / "tiny.cfg").write_text(cfg_text())
    save_weights(network, tmp_path / "tiny.weights")
    names = str(four.folder / "tiny.names")
    return {"cfg": str(tmp_path / "tiny.cfg"), "weights": str(tmp_path / "tiny.weights"), "names": names}


@pytest.fixture
def expected(four, files):
    """Path → width, height and objects, by the detector itself."""
    network = yolo.Network.from_cfg(files["cfg"])
    yolo.load_weights(network, files["weights"])
    detector = yolo.Detector(network, NAMES, 0.2)
    return {str(path): (64, 48, detector(path).to_dict(NAMES)) for path in four.images}


def same(row, expected):
    """Another batch size may change the last digits of a score."""
    width, height, objects = expected
    assert (row["width"], row["height"], row["error"]) == (width, height, None)
    assert [each["name"] for each in row["objects"]] == [each["name"] for each in objects]
    for name in ("score", "box", "class_id"):
        np.testing.assert_allclose(
            np.array([each[name] for each in row["objects"]]), [each[name] for each in objects], rtol=1e-4, atol=1e-3
        )


def test_paths_bytes_and_pixels_give_the_detectors_rows(four, files, expected):
    pytest.importorskip("pyarrow")
    detect = yolo.BatchDetector(**files, score_thresh=0.2, device="cpu")
    paths = np.array([str(path) for path in four.images], object)
    assert sum(len(objects) for *_, objects in expected.values()) > 0
    for name, values in (
        ("path", paths),
        ("bytes", np.array([path.read_bytes() for path in four.images], object)),
        ("image", np.stack([read_image(path) for path in four.images])),
    ):
        table = detect({name: values, "id": np.arange(4)})
        assert table.column_names == [
            *(["path"] if name == "path" else []),
            "id",
            "width",
            "height",
            "objects",
            "error",
        ]
        for path, row in zip(paths, table.to_pylist(), strict=True):
            same(row, expected[path])


def test_an_image_that_cannot_be_read_is_a_row_with_its_error(four, files, expected):
    pytest.importorskip("pyarrow")
    detect = yolo.BatchDetector(**files | {"names": NAMES}, score_thresh=0.2, device="cpu")
    broken = np.array([b"", four.images[1].read_bytes(), b"no image"], object)
    first, good, last = detect({"bytes": broken}).to_pylist()
    assert (first["objects"], first["width"]) == ([], None) and "empty" in first["error"]
    assert last["error"].startswith("bytes: found")
    same(good, expected[str(four.images[1])])
    only_broken = detect({"bytes": broken[:1]})
    assert only_broken.schema == detect({"bytes": broken}).schema  # parts of one table
    with pytest.raises(DatasetError, match="found the columns a, b, expected images in one of image, bytes"):
        detect({"a": broken, "b": broken})


def test_a_missing_package_is_one_line(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match=r"BatchDetector needs the package pyarrow: pip install '.*\[ray\]'"):
        yolo.BatchDetector(**files)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_two_workers_of_a_ray_cluster_detect_in_every_image(four, files, expected, tmp_path):
    """From files to Parquet: ten images and a broken one. Two of the four CPUs are for the tasks that read files."""
    pytest.importorskip("pyarrow")
    ray = pytest.importorskip("ray")
    data = pytest.importorskip("ray.data")
    (tmp_path / "all").mkdir()
    sources = {}
    for number in range(10):
        path = tmp_path / "all" / f"{number}.png"
        path.write_bytes(four.images[number % 4].read_bytes())
        sources[str(path)] = str(four.images[number % 4])
    (tmp_path / "all" / "broken.png").write_bytes(b"no image")
    ray.init(
        num_cpus=4, include_dashboard=False, log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(PROJECT)}},
    )  # fmt: skip
    try:
        found = data.read_binary_files(str(tmp_path / "all"), include_paths=True, override_num_blocks=4).map_batches(
            yolo.BatchDetector,
            fn_constructor_kwargs=files | {"score_thresh": 0.2, "device": "cpu"},
            batch_size=3,
            concurrency=2,
        )
        found.write_parquet(str(tmp_path / "rows"))
        rows = data.read_parquet(str(tmp_path / "rows")).take_all()
    finally:
        ray.shutdown()
    assert len(rows) == 11
    for row in rows:
        if row["path"].endswith("broken.png"):
            assert row["error"].startswith("bytes: found") and len(row["objects"]) == 0
        else:
            same(row, expected[sources.pop(row["path"])])
    assert not sources
