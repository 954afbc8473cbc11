// NMS as yolo/detect/postprocess.py does it, in float32: in each class, best score first.
const f32 = Math.fround;

function ratio(numerator, denominator) {
  return denominator === 0 ? 0 : f32(numerator / denominator);
}

function area(box) {
  return f32(f32(box[2] - box[0]) * f32(box[3] - box[1]));
}

function iou(a, b) {
  const width = Math.max(f32(Math.min(a[2], b[2]) - Math.max(a[0], b[0])), 0);
  const height = Math.max(f32(Math.min(a[3], b[3]) - Math.max(a[1], b[1])), 0);
  const shared = f32(width * height);
  return ratio(shared, f32(f32(area(a) + area(b)) - shared));
}

// IoU - (d² / c²) ** exponent: d between the centers, c the diagonal around both (AlexeyAB box.c box_diou).
function iouWithDistance(a, b, exponent) {
  const between = axis => f32(f32(f32(f32(a[axis] + a[axis + 2]) - b[axis]) - b[axis + 2]) / 2);
  const around = axis => f32(Math.max(a[axis + 2], b[axis + 2]) - Math.min(a[axis], b[axis]));
  const squares = length => f32(f32(length(0) ** 2) + f32(length(1) ** 2));
  return f32(iou(a, b) - f32(ratio(squares(between), squares(around)) ** f32(exponent)));
}

// Positions of the kept boxes, best first. Equal scores: lower label first, then lower position.
// exponent: null compares the plain IoU.
function nms(boxes, scores, labels, thresh, exponent) {
  const corners = boxes.map(box => box.map(f32));
  const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a] || labels[a] - labels[b] || a - b);
  const over = exponent === null ? (a, b) => iou(a, b) > thresh
    : (a, b) => iouWithDistance(a, b, exponent) > f32(thresh);
  const keptOf = new Map();
  return order.filter(place => {
    const kept = keptOf.get(labels[place]) ?? [];
    if (kept.some(better => over(corners[better], corners[place]))) return false;
    keptOf.set(labels[place], [...kept, place]);
    return true;
  });
}

// Boxes in pixels of an image → 0..1 of the network input, up to a shift: where the service compares them.
// As yolo/letterbox.py: the image is stretched to the input, or as large as fits.
function inNetwork(boxes, width, height, model) {
  let content = [model.width, model.height];
  if (model.letterbox) {
    content = model.width / width < model.height / height
      ? [model.width, Math.max(1, Math.floor(height * model.width / width))]
      : [Math.max(1, Math.floor(width * model.height / height)), model.height];
  }
  const x = content[0] / model.width / width;
  const y = content[1] / model.height / height;
  return boxes.map(box => [box[0] * x, box[1] * y, box[2] * x, box[3] * y]);
}
