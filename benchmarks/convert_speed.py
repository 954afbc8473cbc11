"""Time to convert VOC2007, compared with a simple loop.

  python benchmarks/convert_speed.py --voc VOCdevkit/VOC2007

The simple loop, one process with xml.etree, parses each file and writes its label, as Darknet's
voc_label.py does. Ours does that, checks every box, and writes lists, names, .data and the labels
of difficult objects, and a manifest, so that no label of another conversion is replaced. Both
start on empty folders, in turn. Ours uses all cores, so there are two ratios: of the time, and of the
processor time of all its processes. docs/log.md has both. A disk on which many files were just deleted
slows both down (TMPDIR=/dev/shm uses no disk).
"""

import argparse
import os
import random
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from yolo.console.run import run
from yolo.data.convert.conversion import Target, write_conversion
from yolo.data.convert.voc import plan_voc
from yolo.data.convert.voc_layout import VocSource, read_sets
from yolo.formats.voc_xml import ImageSet

VOC2007_FILES = 9963
# fmt: off
VOC2007_CLASSES = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car",
    "cat", "chair", "cow", "diningtable", "dog", "horse", "motorbike",
    "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
]
# fmt: on
MEAN_OBJECTS = 3.1  # of a VOC2007 image
DIFFICULT_FRACTION = 0.2  # of VOC2007's objects
SIZE = (375, 500)  # the most common ones of VOC2007
HEAD = (
    "<annotation>\n\t<folder>VOC2007</folder>\n\t<filename>{0:06}.jpg</filename>\n\t<source>\n"
    "\t\t<database>The VOC2007 Database</database>\n\t\t<annotation>PASCAL VOC2007</annotation>\n"
    "\t\t<image>flickr</image>\n\t\t<flickrid>{0}</flickrid>\n\t</source>\n\t<owner>\n"
    "\t\t<flickrid>Somebody</flickrid>\n\t\t<name>Some Body</name>\n\t</owner>\n\t<size>\n"
    "\t\t<width>{2}</width>\n\t\t<height>{1}</height>\n\t\t<depth>3</depth>\n\t</size>\n"
    "\t<segmented>0</segmented>\n"
)
OBJECT = (
    "\t<object>\n\t\t<name>{}</name>\n\t\t<pose>Left</pose>\n\t\t<truncated>0</truncated>\n"
    "\t\t<difficult>{}</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>{}</xmin>\n\t\t\t<ymin>{}</ymin>\n"
    "\t\t\t<xmax>{}</xmax>\n\t\t\t<ymax>{}</ymax>\n\t\t</bndbox>\n\t</object>\n"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voc", type=Path, help="VOC2007; default: as many files made up")
    parser.add_argument("--repeats", type=int, default=5, help="the median counts; default 5")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name).resolve()
        annotations = args.voc.resolve() / "Annotations" if args.voc else scratch / "made"
        if not args.voc:
            make_annotations(annotations)
        identifiers = sorted(path.stem for path in annotations.glob("*.xml"))
        plain, ours = [], []
        for turn in range(args.repeats):
            plain.append(seconds_of(plain_loop, annotations, identifiers, scratch / f"plain{turn}"))
            ours.append(seconds_of(convert, annotations, identifiers, scratch / f"ours{turn}"))
    for at, kind in enumerate(("time", "processor time")):
        medians = []
        for title, times in (("plain loop", plain), ("ours", ours)):
            medians.append(statistics.median(each[at] for each in times))
            listed = " ".join(f"{each[at]:.2f}" for each in times)
            print(f"{title:11} {medians[-1]:6.2f} s {kind} (median of {listed})")
        print(f"{len(identifiers)} files, {kind}: ours / plain loop = {medians[1] / medians[0]:.2f}")


def plain_loop(annotations: Path, identifiers: list[str], out: Path) -> None:
    """Parse with xml.etree and write the labels, one file after the other."""
    (out / "labels").mkdir(parents=True)
    for identifier in identifiers:
        root = ElementTree.parse(annotations / f"{identifier}.xml").getroot()
        size = root.find("size")
        width, height = int(size.find("width").text), int(size.find("height").text)
        with open(out / "labels" / f"{identifier}.txt", "w") as file:
            for item in root.iter("object"):
                name = item.find("name").text
                if name not in VOC2007_CLASSES or int(item.find("difficult").text) == 1:
                    continue
                box = item.find("bndbox")
                xmin, xmax = float(box.find("xmin").text), float(box.find("xmax").text)
                ymin, ymax = float(box.find("ymin").text), float(box.find("ymax").text)
                numbers = (
                    ((xmin + xmax) / 2 - 1) / width,
                    ((ymin + ymax) / 2 - 1) / height,
                    (xmax - xmin) / width,
                    (ymax - ymin) / height,
                )
                label = " ".join(str(number) for number in numbers)
                file.write(f"{VOC2007_CLASSES.index(name)} {label}\n")


def convert(annotations: Path, identifiers: list[str], out: Path) -> None:
    """Do what tools/convert_voc.py does: the first half to train on, the second to score on."""
    sets = out / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    (out / "Annotations").symlink_to(annotations)
    half = len(identifiers) // 2
    (sets / "train.txt").write_text("\n".join(identifiers[:half]))
    (sets / "val.txt").write_text("\n".join(identifiers[half:]))
    train, valid = (read_sets([ImageSet(out, name)])[0] for name in ("train", "val"))
    plan = plan_voc(VocSource(train, valid), VOC2007_CLASSES)
    write_conversion(plan, Target(out, "voc", "voc", overwrite=False), None)


def seconds_of(function: Callable, *arguments: object) -> tuple[float, float]:
    """Return the time of a call, and the processor time of this process and those that it started."""
    os.sync()  # so that no run waits for the writes of another
    before = os.times()
    function(*arguments)
    after = os.times()
    return after.elapsed - before.elapsed, sum(after[:4]) - sum(before[:4])


def make_annotations(folder: Path) -> None:
    """Write as many XML files as VOC2007 has, with similar content."""
    folder.mkdir(parents=True)
    rng = random.Random(2007)
    height, width = SIZE
    for number in range(1, VOC2007_FILES + 1):
        text = HEAD.format(number, height, width)
        for _ in range(1 + int(rng.expovariate(1 / (MEAN_OBJECTS - 0.5)))):
            left, top = rng.randint(1, width - 20), rng.randint(1, height - 20)
            right, bottom = rng.randint(left + 10, width), rng.randint(top + 10, height)
            difficult = int(rng.random() < DIFFICULT_FRACTION)
            text += OBJECT.format(rng.choice(VOC2007_CLASSES), difficult, left, top, right, bottom)
        (folder / f"{number:06}.xml").write_text(text + "</annotation>\n")


if __name__ == "__main__":
    run(main)
