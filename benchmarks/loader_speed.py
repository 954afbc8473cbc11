"""Images per second and core of the training loader, compared with ultralytics' and torchvision's.

All load the same images in turn, with one process and one thread, in mini-batches of 16. The best round counts, in
seconds of processor time, so that other work on the machine matters little. All augmentation is on:

ours          jitter .3, resize 1.5, flip, hue, saturation, exposure, and mosaic in half of the images, as in Darknet.
              By default it keeps 256 MiB of decoded images, counted here after a first round through the list;
              "nothing kept" represents a much larger set, where an image needs 2.5 decodings on average.
ultralytics   YOLODataset as it trains by default: translate, scale, flip, hsv, and mosaic in all images, whose other
              three come from a buffer of recent images: one decoding per image. "ram" is its cache="ram".
torchvision   transforms.v2 with boxes: zoom out, resized crop, flip, color jitter; it has no mosaic.

example, with ultralytics (AGPL; it stays outside of this project's environment):
  pip install --target /tmp/ultralytics --no-deps ultralytics ultralytics-thop pyyaml requests psutil polars \
      polars-runtime-32 py-cpuinfo urllib3 idna certifi charset-normalizer scipy
  python benchmarks/loader_speed.py --list train.txt --classes 3 --ultralytics /tmp/ultralytics
"""

import argparse
import importlib.util
import itertools
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.io import decode_image
from torchvision.transforms import v2

from yolo.console.option_types import whole_number
from yolo.console.run import run
from yolo.data.augment.geometry import AugmentationSettings
from yolo.data.check import check_list
from yolo.data.dataset import Draw, TrainingImages, collate
from yolo.data.images import ROOM, ImageStore
from yolo.data.labeled_images import LabeledImage
from yolo.data.sample import METHODS, Recipe
from yolo.settings import ColorSettings, MixingSettings

BATCH = 16
SETTINGS = AugmentationSettings(0.3, 1.5, True, ColorSettings(0.1, 1.5, 1.5))
LARGE, LARGE_SIZE = 60, (1200, 1600)  # how many are drawn, height and width
INSTALL = "ultralytics is not here; the first lines of this file say how to install it"
Batches = Iterator[object]
Loader = Callable[[Sequence[LabeledImage], Path, int], Batches]


def main() -> None:
    args = _arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    loaders: dict[str, Loader] = {"ours": _ours_kept, "ours, nothing kept": _ours}
    if args.ultralytics:
        sys.path.append(str(args.ultralytics))
    if importlib.util.find_spec("ultralytics"):
        loaders |= {"ultralytics": _ultralytics, "ultralytics, ram": _ultralytics_ram}
    else:
        print(INSTALL)
    loaders["torchvision"] = _torchvision
    with tempfile.TemporaryDirectory() as folder:
        os.environ["YOLO_CONFIG_DIR"] = folder
        for name, listed, classes in _sets(args, Path(folder)):
            images = check_list(listed, classes, 3).images
            for size in args.sizes:
                speeds = _measure(loaders, images, listed.parent, size, args)
                _report(f"{name}, {len(images)} images, {size} x {size}", speeds)


def _report(title: str, speeds: dict[str, float]) -> None:
    print(f"\n{title}: images a second")
    for name, speed in speeds.items():
        print(f"{name:20}{speed:8.0f}")
    for peer in (name for name in speeds if not name.startswith("ours")):
        ratios = [f"{name} / {peer} {speeds[name] / speeds[peer]:.2f}" for name in list(speeds)[:2]]
        print("; ".join(ratios))


def _measure(
    loaders: dict[str, Loader],
    images: Sequence[LabeledImage],
    folder: Path,
    size: int,
    args: argparse.Namespace,
) -> dict[str, float]:
    """Images a second of processor time: the best of `rounds` of each loader, taken in turns."""
    running = {name: loader(images, folder, size) for name, loader in loaders.items()}
    for batches in running.values():
        for _ in range(1 + len(images) // BATCH):
            next(batches)
    best = dict.fromkeys(loaders, 0.0)
    for _, (name, batches) in itertools.product(range(args.rounds), running.items()):
        begin = time.process_time()
        for _ in range(args.batches):
            next(batches)
        speed = args.batches * BATCH / (time.process_time() - begin)
        best[name] = max(best[name], speed)
    return best


def _ours(images: Sequence[LabeledImage], _: Path, size: int, room: int = 0) -> Batches:
    recipe = Recipe(METHODS["alexeyab"], SETTINGS, MixingSettings(mosaic=True), 200)
    made = TrainingImages(images, 3, recipe, ImageStore(room))
    for start in itertools.count(0, BATCH):
        places = range(start, start + BATCH)
        yield collate([made[Draw(n % len(images), (size, size), (0, n))] for n in places])


def _ours_kept(images: Sequence[LabeledImage], folder: Path, size: int) -> Batches:
    return _ours(images, folder, size, ROOM)


def _ultralytics(images: Sequence[LabeledImage], folder: Path, size: int, cache: bool | str = False) -> Batches:
    from ultralytics.cfg import get_cfg
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.utils import LOGGER

    LOGGER.setLevel("ERROR")
    settings = get_cfg()
    settings.imgsz = size
    classes = 1 + max(int(image.ground_truth.labels.max(initial=0)) for image in images)
    names = {number: str(number) for number in range(classes)}
    made = YOLODataset(
        img_path=str(folder / "images"), imgsz=size, augment=True, hyp=settings, cache=cache,
        data={"names": names, "nc": classes, "channels": 3}, task="detect", batch_size=BATCH,
    )  # fmt: skip
    for start in itertools.count(0, BATCH):
        places = range(start, start + BATCH)
        yield made.collate_fn([made[n % len(made)] for n in places])


def _ultralytics_ram(images: Sequence[LabeledImage], folder: Path, size: int) -> Batches:
    return _ultralytics(images, folder, size, "ram")


def _torchvision(images: Sequence[LabeledImage], _: Path, size: int) -> Batches:
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="torchvision")
    change = v2.Compose(
        [
            v2.RandomZoomOut(p=0.5, side_range=(1.0, 1.5)),
            v2.RandomResizedCrop(size, scale=(0.3, 1.0), ratio=(0.5, 2.0), antialias=False),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=0.5, saturation=0.5, hue=0.1),
            v2.SanitizeBoundingBoxes(labels_getter=lambda sample: sample[2]),
        ]
    )

    def sample(image: LabeledImage) -> tuple[torch.Tensor, ...]:
        pixels_of_it = tv_tensors.Image(decode_image(str(image.path)))
        pixels = torch.tensor(image.ground_truth.boxes) * torch.tensor(2 * image.size[::-1])
        boxes = tv_tensors.BoundingBoxes(pixels, format="CXCYWH", canvas_size=image.size)
        return change(pixels_of_it, boxes, torch.tensor(image.ground_truth.labels))

    for start in itertools.count(0, BATCH):
        places = range(start, start + BATCH)
        samples = [sample(images[n % len(images)]) for n in places]
        yield torch.stack([each[0] for each in samples]), [each[1:] for each in samples]


def _sets(args: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Path, int]]:
    """Name, list and number of classes of each data set, its images in a folder `images` beside its list."""
    if args.list:
        listed = folder / "given" / "list.txt"
        (listed.parent / "images").mkdir(parents=True)
        (listed.parent / "labels").mkdir()
        paths = []
        for image in check_list(args.list, args.classes, 3).images:
            paths.append(listed.parent / "images" / image.path.name)
            paths[-1].write_bytes(image.path.read_bytes())
            _write_labels(paths[-1], image.ground_truth.labels, image.ground_truth.boxes)
        listed.write_text("".join(f"{path}\n" for path in paths))
        yield str(args.list), listed, args.classes
    yield "large JPEGs", _draw_large(folder / "large"), 1


def _draw_large(folder: Path) -> Path:
    """A list of drawn images with the coarse and fine structure of photographs."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    rng = np.random.default_rng(0)
    paths = []
    for number in range(LARGE):
        image = np.zeros((*LARGE_SIZE, 3), np.float32)
        for side, strength in ((8, 70), (60, 40), (400, 12)):
            waves = rng.standard_normal((side, side, 3), np.float32) * strength
            image += cv2.resize(waves, LARGE_SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        boxes = np.concatenate((rng.uniform(0.2, 0.8, (6, 2)), rng.uniform(0.05, 0.3, (6, 2))), axis=1)
        path = folder / "images" / f"{number}.jpg"
        cv2.imwrite(str(path), (image + 128).clip(0, 255).astype(np.uint8))
        _write_labels(path, np.zeros(len(boxes), int), boxes)
        paths.append(path)
    listed = folder / "list.txt"
    listed.write_text("".join(f"{path}\n" for path in paths))
    return listed


def _write_labels(image: Path, labels: np.ndarray, boxes: np.ndarray) -> None:
    rows = zip(labels, boxes, strict=True)
    text = "".join(f"{label} {' '.join(map(str, box))}\n" for label, box in rows)
    (image.parent.parent / "labels" / f"{image.stem}.txt").write_text(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--list", type=Path, metavar="FILE", help="a Darknet list; without it large JPEGs alone")
    add("--classes", type=whole_number(1), default=80, metavar="N", help="of the list; default 80")
    add("--sizes", type=whole_number(32), nargs="+", default=[320, 416], metavar="N")
    add("--batches", type=whole_number(1), default=8, metavar="N", help="a round; default 8")
    add("--rounds", type=whole_number(1), default=5, metavar="N", help="default 5")
    add("--ultralytics", type=Path, metavar="DIR", help="where pip --target installed it")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
