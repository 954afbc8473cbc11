"""Time to convert a COCO file and to split the labels of its images, each compared with a simple loop.

  python benchmarks/coco_speed.py --images 20000

The data set is synthetic: one JPEG under many names (hard links), seven boxes each. The loops are one process. That of
the conversion reads the JSON file, takes the size of each image from it by Pillow and writes its label file; that of
the split reads each label file, takes its numbers and draws the list of its image. Ours, convert_coco and split --split
0.2, check every box besides, and balance the lists by their classes. Both start on empty folders, in turn. Ours uses
all cores, so there are two ratios: of the time, and of the processor time (TMPDIR=/dev/shm uses no disk).
"""

import argparse
import json
import os
import random
import shutil
import statistics
import tempfile
from pathlib import Path

from convert_speed import seconds_of
from PIL import Image

from yolo.console.run import run
from yolo.data.convert.coco import CocoSet, plan_coco
from yolo.data.convert.conversion import Target, split_again, write_conversion, write_lists
from yolo.data.convert.yolo_labels import plan_labeled, read_labeled

CLASSES, BOXES = 80, 7
WIDTH, HEIGHT = 640, 480
FRACTION = 0.2  # of the images, to score on
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000, metavar="N", help="default: 20000")
    parser.add_argument("--repeats", type=int, default=3, help="the median counts; default 3")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name).resolve()
        annotations, images = make_annotations(scratch / "made", args.images)
        pairs = (
            ("convert_coco", plain_conversion, convert, (annotations, images)),
            ("split", plain_split, split, (images,)),
        )
        for title, plain, ours, inputs in pairs:
            times = []
            for turn in range(args.repeats):
                if ours is convert and turn > 0:
                    shutil.rmtree(images.parent / "labels")
                folders = (scratch / f"{title}{turn}_{who}" for who in ("plain", "ours"))
                times.append([seconds_of(each, *inputs, next(folders)) for each in (plain, ours)])
            for at, kind in enumerate(("time", "processor time")):
                loop, mine = (statistics.median(turn[who][at] for turn in times) for who in (0, 1))
                rates = f"{args.images / loop:.0f} and {args.images / mine:.0f} images/s"
                print(
                    f"{title}, {kind}: loop {loop:.2f} s, ours {mine:.2f} s, {rates}, ours / loop = {mine / loop:.2f}"
                )


def plain_conversion(annotations: Path, images: Path, out: Path) -> None:
    """Write the label files of a COCO file, one after the other."""
    out.mkdir()
    content = json.loads(annotations.read_text())
    number = {category["id"]: at for at, category in enumerate(content["categories"])}
    boxes: dict[int, list[dict]] = {}
    for annotation in content["annotations"]:
        boxes.setdefault(annotation["image_id"], []).append(annotation)
    for image in content["images"]:
        with Image.open(images / image["file_name"]) as opened:
            width, height = opened.size
        with open(out / image["file_name"].replace(".jpg", ".txt"), "w") as file:
            for annotation in boxes.get(image["id"], ()):
                x, y, w, h = annotation["bbox"]
                numbers = (x + w / 2) / width, (y + h / 2) / height, w / width, h / height
                file.write(f"{number[annotation['category_id']]} {' '.join(map(str, numbers))}\n")


def convert(annotations: Path, images: Path, out: Path) -> None:
    """Do what tools/convert_coco.py --split does. The labels are written beside the images."""
    plan, drawn = split_again(plan_coco([CocoSet(annotations, images)], [], None), out, FRACTION, SEED)
    write_conversion(plan, Target(out, "coco", "coco", overwrite=False), drawn)


def plain_split(images: Path, out: Path) -> None:
    """Write two lists, after reading the label file of each image."""
    out.mkdir()
    draw = random.Random(SEED)
    lists: tuple[list[str], list[str]] = ([], [])
    for path in sorted(images.iterdir()):
        label = images.parent / "labels" / f"{path.stem}.txt"
        rows = [[float(number) for number in line.split()] for line in label.read_text().splitlines()]
        if all(len(row) == 5 for row in rows):
            lists[draw.random() < FRACTION].append(f"{path}\n")
    for name, lines in zip(("train", "valid"), lists, strict=True):
        (out / f"{name}.txt").write_text("".join(lines))


def split(images: Path, out: Path) -> None:
    """Do what tools/split.py does."""
    plan = plan_labeled(read_labeled(images.parent, whole=True), None)
    plan, drawn = split_again(plan, out, FRACTION, SEED)
    write_lists(plan, Target(out, "coco", "coco", overwrite=False, keep_difficult=True), drawn)


def make_annotations(folder: Path, count: int) -> tuple[Path, Path]:
    """Write a COCO file and its images; return both places."""
    images = folder / "images"
    images.mkdir(parents=True)
    same = folder / "same.jpg"
    Image.new("RGB", (WIDTH, HEIGHT)).save(same)
    rng = random.Random(2017)
    entries, boxes = [], []
    for number in range(1, count + 1):
        name = f"{number:012}.jpg"
        os.link(same, images / name)
        entries.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT, "license": 1})
        for _ in range(BOXES):
            x, y, w, h = rng.uniform(0, 300), rng.uniform(0, 200), rng.uniform(9, 300), rng.uniform(9, 200)
            box = [round(side, 2) for side in (x, y, w, h)]
            each = {"id": len(boxes) + 1, "image_id": number, "category_id": rng.randint(1, CLASSES), "bbox": box}
            boxes.append({**each, "area": round(w * h, 2), "iscrowd": 0, "segmentation": [[x, y, x + w, y, x, y + h]]})
    categories = [{"id": number, "name": f"class{number}"} for number in range(1, CLASSES + 1)]
    annotations = folder / "instances.json"
    annotations.write_text(json.dumps({"images": entries, "annotations": boxes, "categories": categories}))
    return annotations, images


if __name__ == "__main__":
    run(main)
