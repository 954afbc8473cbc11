#!/bin/sh
# All steps on generated data: draw images, convert, train, score, detect. `make demo` runs it.
# usage: PY=python sh tools/demo.sh FOLDER
set -eu
folder=$1

say() { printf '\n== %s\n' "$*"; }

rm -rf "$folder/shapes" "$folder/data" "$folder/run" "$folder/pictures" "$folder/report"
mkdir -p "$folder"

say "1. a small VOC-style data set of drawn shapes"
$PY tools/make_shapes.py --out "$folder/shapes"

say "2. VOC XML to Darknet labels"
$PY tools/convert_voc.py --train "$folder/shapes:train" --valid "$folder/shapes:val" --out "$folder/data"

say "3. training, some minutes on 2 cores"
$PY tools/train.py --cfg cfg/shapes.cfg --data "$folder/data/voc.data" --out "$folder/run"

say "4. the score of the best network on images that it was not trained on"
$PY tools/evaluate.py --cfg cfg/shapes.cfg --weights "$folder/run/shapes_best.weights" \
    --data "$folder/data/voc.data" --report "$folder/report"

say "5. images with boxes"
head -n 8 "$folder/data/valid.txt" | tr '\n' '\0' | xargs -0 $PY tools/detect.py --cfg cfg/shapes.cfg \
    --weights "$folder/run/shapes_best.weights" --names "$folder/data/voc.names" --out "$folder/pictures"

say "done: see $folder/pictures and $folder/report/index.html; curves: tensorboard --logdir $folder/run/tensorboard"
