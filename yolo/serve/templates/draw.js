// Boxes and labels as yolo/detect/draw.py draws them: the same color for a class, the same lines and places.
const LINE_PART = 1 / 240;  // sizes as fractions of sqrt(width * height)
const TEXT_PART = 1 / 46;  // the height of a capital letter
const PADDING_PART = .4;
const CAPITAL_PART = .72;  // of the size of a font: its capitals, in most fonts for screens
const READABLE = 8;  // pixels of the screen that a capital has at least
const MOST_TAGS = 500;
const GOLDEN_SECTION = .6180339887;
const FIRST_HUE = .09;
const TONES = [[.9, 1], [.5, 1], [.8, .75]];  // saturation, value
const PLACES = [[0, 0, 1], [0, 0, 0], [1, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 1, 1]];  // right, bottom, up
const FONT = 'system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif';
const OPEN_ISOLATE = '\u2068';  // keeps a name that is written from right to left apart from its score
const CLOSE_ISOLATE = '\u2069';

function classColor(label) {
  const [saturation, value] = TONES[label % TONES.length];
  const hue = (FIRST_HUE + label * GOLDEN_SECTION) % 1;
  const part = Math.floor(hue * 6);
  const rest = hue * 6 - part;
  const low = value * (1 - saturation);
  const falling = value * (1 - saturation * rest);
  const rising = value * (1 - saturation * (1 - rest));
  const color = [[value, rising, low], [falling, value, low], [low, value, rising], [low, falling, value],
    [rising, low, value], [value, low, falling]][part % 6];
  return color.map(each => Math.round(255 * each));
}

const css = color => `rgb(${color.join(' ')})`;

// Black or white, whichever contrasts more (WCAG 2.1).
function textColor(color) {
  const light = [.2126, .7152, .0722].reduce((sum, part, place) => sum + part * (color[place] / 255) ** 2.2, 0);
  return light > .179 ? '#000' : '#fff';
}

const percent = score => `${(100 * score).toFixed(0)}%`;

function overlapWith(taken, [x1, y1, x2, y2]) {
  return taken.reduce((sum, other) => sum + Math.max(0, Math.min(x2, other[2]) - Math.max(x1, other[0]))
    * Math.max(0, Math.min(y2, other[3]) - Math.max(y1, other[1])), 0);
}

// The longest start of a name that fits with its score into `width` pixels.
function fitted(pen, name, score, width) {
  const fits = text => pen.measureText(text).width <= width;
  const whole = short => `${OPEN_ISOLATE}${short}${CLOSE_ISOLATE} ${score}`;
  if (fits(whole(name))) return whole(name);
  const letters = [...name];
  for (let kept = letters.length - 1; kept > 0; kept -= 1) {
    const short = whole(`${letters.slice(0, kept).join('')}..`);
    if (fits(short)) return short;
  }
  return fits(score) ? score : '';
}

// As Python rounds: halves to the even number.
function rounded(value) {
  const near = Math.round(value);
  return near - value === .5 && near % 2 !== 0 ? near - 1 : near;
}

// A box in pixels of the canvas, inside it; null if it is outside.
function pixelsOf(box, scale, width, height) {
  const [x1, y1, x2, y2] = [box[0] * scale[0], box[1] * scale[1], box[2] * scale[0], box[3] * scale[1]];
  if (!(x1 < width && y1 < height && x2 >= 0 && y2 >= 0)) return null;
  const left = rounded(Math.min(Math.max(x1, 0), width - 1));
  const top = rounded(Math.min(Math.max(y1, 0), height - 1));
  return [left, top, rounded(Math.min(Math.max(x2, left + 1), width)),
    rounded(Math.min(Math.max(y2, top + 1), height))];
}

// Draw detections of an image of `size` [width, height] over a whole canvas. marked: one of them is highlighted.
// smallest: height of a capital in pixels of the canvas.
function drawDetections(pen, detections, size, smallest, marked = null) {
  const { width, height } = pen.canvas;
  const side = Math.sqrt(width * height);
  const line = Math.max(1, Math.round(side * LINE_PART));
  const capital = Math.max(smallest, Math.round(side * TEXT_PART));
  const padding = Math.max(2, Math.round(capital * PADDING_PART));
  const scale = [width / size[0], height / size[1]];
  pen.font = `500 ${capital / CAPITAL_PART}px ${FONT}`;
  pen.textBaseline = 'alphabetic';
  const tags = detections.map(each => ({ each, box: pixelsOf(each.box, scale, width, height) }))
    .filter(tag => tag.box !== null);
  if (marked !== null) tags.sort((a, b) => (b.each === marked) - (a.each === marked));
  for (const tag of [...tags].reverse()) outline(pen, tag, line, marked);
  const taken = [];
  const placed = [];
  for (const tag of tags.slice(0, MOST_TAGS)) {
    const text = fitted(pen, tag.each.label, percent(tag.each.score), width - 2 * padding);
    const size2 = [pen.measureText(text).width + 2 * padding, capital + 2 * padding];
    if (!text || size2[1] > height || (marked !== null && tag.each !== marked)) continue;
    const spot = spotOf(tag.box, size2, taken, width, height);
    taken.push(spot);
    placed.push({ tag, text, spot });
  }
  for (const { tag, text, spot } of placed.reverse()) {
    const color = classColor(tag.each.class_id);
    pen.fillStyle = css(color);
    pen.fillRect(spot[0], spot[1], spot[2] - spot[0], spot[3] - spot[1]);
    pen.fillStyle = textColor(color);
    pen.fillText(text, spot[0] + padding, spot[3] - padding);
  }
}

function outline(pen, tag, line, marked) {
  const [x1, y1, x2, y2] = tag.box;
  const frame = (color, thick) => {
    pen.strokeStyle = color;
    pen.lineWidth = thick;
    pen.strokeRect(x1 + thick / 2, y1 + thick / 2, Math.max(0, x2 - x1 - thick), Math.max(0, y2 - y1 - thick));
  };
  if (tag.each === marked) {
    pen.fillStyle = 'rgb(0 0 0 / .55)';
    pen.beginPath();
    pen.rect(0, 0, pen.canvas.width, pen.canvas.height);
    pen.rect(x1, y1, x2 - x1, y2 - y1);
    pen.fill('evenodd');
    frame('#fff', 2.5 * line);
    frame(css(classColor(tag.each.class_id)), 1.7 * line);
  } else {
    pen.globalAlpha = marked === null ? 1 : .4;
    frame(css(classColor(tag.each.class_id)), line);
    pen.globalAlpha = 1;
  }
}

// The first place around a box where a tag overlaps no other one, or overlaps least: [x1, y1, x2, y2].
function spotOf([x1, y1, x2, y2], [width, height], taken, columns, rows) {
  const spots = PLACES.map(([right, bottom, up]) => {
    const x = Math.max(0, Math.min(right ? x2 - width : x1, columns - width));
    const y = Math.max(0, Math.min((bottom ? y2 : y1) - height * up, rows - height));
    return [x, y, x + width, y + height];
  });
  const costs = spots.map(spot => overlapWith(taken, spot));
  return spots[costs.indexOf(Math.min(...costs))];
}

// One tick for each candidate at its score, in the color of its class; those that are not shown are faint.
function drawScores(canvas, candidates, floor, thresh) {
  const pen = canvas.getContext('2d');
  const [width, height] = fitCanvas(canvas, canvas.clientWidth, canvas.clientHeight);
  const thumb = 8 * devicePixelRatio;  // half the knob of a slider: where its track begins
  const tick = 2 * devicePixelRatio;
  pen.clearRect(0, 0, width, height);
  for (const each of candidates) {
    const x = thumb + (each.score - floor) / (.99 - floor) * (width - 2 * thumb);
    const shown = each.score >= thresh;
    pen.globalAlpha = shown ? .95 : .35;
    pen.fillStyle = css(classColor(each.class_id));
    pen.fillRect(Math.min(x, width - thumb) - tick / 2, shown ? 0 : height / 2, tick, height);
  }
  pen.globalAlpha = 1;
}

// A canvas as a JPEG file; null if it is too large.
const jpegOf = (canvas, quality) => new Promise(done => { canvas.toBlob(done, 'image/jpeg', quality); });

// Give a canvas the pixels of the screen that it covers; return its [width, height].
function fitCanvas(canvas, width, height) {
  const wanted = [Math.max(1, Math.round(width * devicePixelRatio)), Math.max(1, Math.round(height * devicePixelRatio))];
  if (canvas.width !== wanted[0]) canvas.width = wanted[0];
  if (canvas.height !== wanted[1]) canvas.height = wanted[1];
  return wanted;
}
