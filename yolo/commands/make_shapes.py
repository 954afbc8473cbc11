"""Draw a small data set in PASCAL VOC's layout: circles, squares and triangles, with their boxes.

DIR gets Annotations/, ImageSets/Main/train.txt and val.txt, JPEGImages/. The same options give the
same files, byte for byte. 300 images take some seconds.

example:
  yolo-darknet make_shapes --out shapes
  yolo-darknet convert_voc --train shapes:train --valid shapes:val --out shapes
"""

from yolo.console.command_line import command_parser
from yolo.console.option_types import new_folder, pixel_size


def main() -> None:
    parser = command_parser(__doc__)
    add = parser.add_argument
    folder = "a new folder, or one that this command has written"
    add("--out", type=new_folder, required=True, metavar="DIR", help=folder)
    add("--train", type=int, default=240, metavar="N", help="images to train on; default 240")
    add("--valid", type=int, default=60, metavar="N", help="images to score on; default 60")
    add("--seed", type=int, default=1, help="of the random shapes; default 1")
    add("--size", type=pixel_size, default="160x128", metavar="WxH", help="size of each image; default 160x128")
    args = parser.parse_args()

    from yolo.data.shapes import CLASSES, write_shapes

    write_shapes(args.out, args.train, args.valid, args.seed, args.size)
    print(f"{args.train} + {args.valid} images of {', '.join(CLASSES)}: {args.out}")
