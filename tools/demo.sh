#!/bin/sh
# The guided start on generated data: draw images, then convert, train, score, detect. `make demo` runs it.
# usage: PY=python sh tools/demo.sh FOLDER
set -eu
folder=$1

rm -rf "$folder/shapes" "$folder/data" "$folder/run" "$folder/pictures" "$folder/report"
rm -f "$folder/shapes.cfg" "$folder/shapes.names" "$folder/new.json" "$folder/detections.json"
mkdir -p "$folder"

printf '\n== a small data set of drawn shapes, as VOC XML\n'
$PY tools/make_shapes.py --out "$folder/shapes"

$PY tools/new.py "$folder/shapes" --out "$folder" --device cpu --go

printf '\ndone: see %s and %s; curves: tensorboard --logdir %s\n' \
    "$folder/pictures" "$folder/report/index.html" "$folder/run/tensorboard"
