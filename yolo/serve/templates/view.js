// The state of the page, and how it is shown. No text of an answer becomes HTML: texts are set as text.
const MOST_ROWS = 200;  // of the list; more would make the page slow
const LARGEST_SCALE = 3;  // of a small image on the screen
const HIGHEST_PART = .74;  // of the window that an image may fill
const LONGEST_SHOWN = 60000;  // characters of JSON; copies and downloads are whole

const MODES = ['images', 'camera', 'stream'];
const TABS = ['json', 'curl', 'python'];

const at = id => document.getElementById(id);
const state = {
  models: [], model: null, mode: 'images', images: [], current: null, live: null,
  thresh: .25, nms: .45, hidden: new Set(), marked: null, tab: 'json', problem: null,
};

const shownItem = () => (state.mode === 'images' ? state.current : state.live);
const textOf = value => String(value ?? '');
const counted = (count, one, many = `${one}s`) => `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
const timeOf = times => Object.entries(times).filter(([, value]) => typeof value === 'number')
  .map(([name, value]) => `${name} ${value < 10 ? value.toFixed(1) : Math.round(value)} ms`).join(' · ');

function element(tag, parts = {}, children = []) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(parts)) {
    if (name === 'text') made.textContent = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// Candidates of an item after NMS, best first; computed once for each value of the slider.
function candidatesOf(item) {
  if (!item || !item.answer) return [];
  if (item.keptFor !== state.nms) {
    const { detections, width, height } = item.answer;
    const boxes = inNetwork(detections.map(each => each.box), width, height, item.model);
    const kept = nms(boxes, detections.map(each => each.score), detections.map(each => each.class_id), state.nms,
      item.model.diou_exponent ?? null);
    item.kept = kept.map(place => detections[place]);
    item.keptFor = state.nms;
  }
  return item.kept;
}

const likelyOf = item => candidatesOf(item).filter(each => each.score > state.thresh);
const visibleOf = item => likelyOf(item).filter(each => !state.hidden.has(each.class_id));

// The classes of some detections: [{class_id, label, count}], in the order of the classes.
function classesOf(detections) {
  const found = new Map();
  for (const each of detections) {
    const entry = found.get(each.class_id) ?? { class_id: each.class_id, label: textOf(each.label), count: 0 };
    entry.count += 1;
    found.set(each.class_id, entry);
  }
  return [...found.values()].sort((a, b) => a.class_id - b.class_id);
}

function summaryOf(item) {
  const visible = visibleOf(item);
  const classes = classesOf(visible).sort((a, b) => b.count - a.count);
  const names = classes.slice(0, 6).map(each => `${each.count} ${each.label}`).join(', ');
  return `${counted(visible.length, 'object')}${names ? `: ${names}` : ''}${classes.length > 6 ? ' …' : ''}`;
}

function say(text) {
  if (at('status').textContent !== text) at('status').textContent = text;
}

function render() {
  const item = shownItem();
  renderMode(item);
  renderControls(item);
  renderSheet(item);
  renderClasses(item);
  renderFound(item);
  renderStrip();
  renderCode(item);
}

function renderMode(item) {
  const { mode } = state;
  for (const name of MODES) {
    if (at(`mode-${name}`)) at(`mode-${name}`).setAttribute('aria-pressed', String(mode === name));
  }
  const problem = mode === 'images' && item ? item.problem || state.problem : state.problem;
  const running = mode === 'camera' && state.live !== null && state.live.running;
  const blank = !item && !problem;
  at('drop').hidden = mode !== 'images' || !blank;
  at('lens').hidden = mode !== 'camera' || !blank;
  at('problem').hidden = !problem;
  at('problem-title').textContent = problem ? problem.title : '';
  at('problem-text').textContent = problem ? problem.text : '';
  at('again').hidden = Boolean(problem) && !problem.again;
  at('alert').textContent = problem ? `${problem.title}. ${problem.text}` : '';
  at('wait').hidden = !(mode === 'images' && item && item.busy);
  at('panel').hidden = mode === 'stream';
  at('live').hidden = mode !== 'stream';
  at('camera-stop').hidden = !running;
  at('rate').hidden = mode !== 'camera' || !item;
  at('model-label').hidden = mode === 'stream' || state.models.length < 2;
  at('lens-label').hidden = !running || at('lens-pick').options.length < 2;
  at('add').hidden = mode !== 'images' || state.images.length === 0;
  at('clear').hidden = at('add').hidden;
  const times = item && item.answer && !problem ? timeOf(item.answer.time_ms) : '';
  at('times').hidden = !times;
  at('times').textContent = times;
  at('save').hidden = !item || !item.answer || Boolean(problem);
}

function renderControls(item) {
  const own = state.model;
  at('thresh').value = Math.round(100 * state.thresh);
  at('nms').value = Math.round(100 * state.nms);
  for (const [id, value] of [['thresh', state.thresh], ['nms', state.nms]]) {
    at(`${id}-out`).textContent = percent(value);
    at(id).setAttribute('aria-valuetext', percent(value));
  }
  at('reset').hidden = !own || (state.thresh === own.thresh && state.nms === own.nms);
  const all = item && item.answer ? item.answer.detections : [];
  at('bound').hidden = all.length < MOST_BOXES;
  if (!at('bound').hidden) {
    const lowest = all.reduce((low, each) => Math.min(low, each.score), 1);
    at('bound').textContent = `The service sent its ${counted(all.length, 'best box', 'best boxes')}. Boxes below ${percent(lowest)} are missing.`;
  }
  if (state.mode !== 'stream') drawScores(at('scores'), candidatesOf(item), LOWEST_SCORE, state.thresh);
}

// Fit the sheet into the view, then draw the boxes over it.
function renderSheet(item) {
  const ready = Boolean(item) && at('problem').hidden && item.size !== null;
  at('sheet').hidden = !ready;
  if (!ready) return;
  const [width, height] = item.size;
  const room = [at('view').clientWidth, Math.max(240, innerHeight * HIGHEST_PART)];
  const scale = Math.min(room[0] / width, room[1] / height, LARGEST_SCALE);
  const fit = [width * scale, height * scale];
  at('sheet').style.width = `${fit[0]}px`;
  at('sheet').style.height = `${fit[1]}px`;
  at('photo').hidden = item.live || item.blind;
  at('frame').hidden = !item.live;
  at('blind').hidden = !item.blind;
  const visible = visibleOf(item);
  const canvas = at('boxes');
  const pen = canvas.getContext('2d');
  fitCanvas(canvas, ...fit);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if (state.mode === 'stream') {
    at('sheet').setAttribute('aria-label', 'Live video with the boxes of the service');
    return;
  }
  const marked = visible.includes(state.marked) ? state.marked : null;
  drawDetections(pen, visible, [width, height], READABLE * devicePixelRatio, marked);
  at('sheet').setAttribute('aria-label', item.answer ? `${item.name}, ${summaryOf(item)}` : item.name);
}

// Chips of the classes that are found at the threshold, with their counts.
function renderClasses(item) {
  const chips = classesOf(likelyOf(item));
  at('classes-card').hidden = chips.length === 0;
  keepFocus(at('classes'), 'data-class', () => keepChildren(at('classes'), chips.map(each => each.class_id), chipOf));
  chips.forEach((each, place) => {
    const chip = at('classes').children[place];
    chip.setAttribute('aria-pressed', String(!state.hidden.has(each.class_id)));
    chip.querySelector('bdi').textContent = each.label;
    chip.querySelector('b').textContent = each.count;
  });
}

function chipOf(label) {
  return element('button', { type: 'button', class: 'chip', 'data-class': label },
    [swatchOf(label), element('bdi'), element('b')]);
}

function swatchOf(label) {
  const made = element('i', { class: 'swatch', 'aria-hidden': 'true' });
  made.style.background = css(classColor(label));
  return made;
}

// Give `parent` a child for each key, in their order, which is the same every time. Those that it has already stay in
// the page: a click on a child that is replaced between press and release is lost.
function keepChildren(parent, keys, made) {
  const wanted = new Set(keys);
  for (const child of [...parent.children]) if (!wanted.has(child.key)) child.remove();
  let next = parent.firstElementChild;
  for (const key of keys) {
    if (next && next.key === key) next = next.nextElementSibling;
    else parent.insertBefore(Object.assign(made(key), { key }), next);
  }
}

// Run `change`, then focus what replaced the element that had the focus.
function keepFocus(parent, attribute, change) {
  const focused = parent.contains(document.activeElement) ? document.activeElement.getAttribute(attribute) : null;
  change();
  if (focused === null) return;
  const next = parent.querySelector(`[${attribute}="${CSS.escape(focused)}"]`) || parent.querySelector('button');
  if (next) next.focus();
}

function renderFound(item) {
  const visible = visibleOf(item);
  const rows = visible.slice(0, MOST_ROWS);
  at('count').textContent = item && item.answer ? visible.length.toLocaleString('en') : '';
  at('nothing').hidden = rows.length > 0;
  at('nothing').textContent = !item || !item.answer ? 'Nothing yet.'
    : candidatesOf(item).length ? 'None with these settings.' : 'Nothing found in this image.';
  at('more').hidden = visible.length <= MOST_ROWS;
  at('more').textContent = `and ${(visible.length - MOST_ROWS).toLocaleString('en')} more, in the JSON below`;
  keepFocus(at('found'), 'data-row', () => at('found').replaceChildren(...rows.map(rowOf)));
  markRows();
}

function rowOf(each, place) {
  const [x1, y1, x2, y2] = each.box.map(Math.round);
  const bar = element('i', { class: 'bar-part', 'aria-hidden': 'true' });
  bar.style.width = percent(each.score);
  bar.style.background = css(classColor(each.class_id));
  const where = `${x2 - x1} × ${y2 - y1} at ${x1}, ${y1}`;
  const row = element('button', { type: 'button', class: 'row', 'data-row': place, tabindex: place === 0 ? '0' : '-1' }, [
    swatchOf(each.class_id), element('bdi', { text: textOf(each.label) }), element('b', { text: percent(each.score) }),
    element('span', { text: where, class: 'where' }), element('i', { class: 'bar-whole', 'aria-hidden': 'true' }, [bar])]);
  return element('li', {}, [row]);
}

// Highlight one detection, in the image and in the list; null for none.
function mark(detection) {
  if (state.marked === detection) return;
  state.marked = detection;
  renderSheet(shownItem());
  markRows();
}

function markRows() {
  const visible = visibleOf(shownItem());
  at('found').querySelectorAll('.row').forEach(row => {
    row.classList.toggle('marked', state.marked !== null && visible[Number(row.dataset.row)] === state.marked);
  });
}

function renderStrip() {
  const { images } = state;
  at('strip').hidden = state.mode !== 'images' || images.length < 2;
  if (at('strip').hidden) return;
  keepChildren(at('strip'), images, thumbOf);
  images.forEach((item, place) => {
    const button = at('strip').children[place].firstChild;
    const note = item.problem ? item.problem.title : item.answer ? counted(visibleOf(item).length, 'object') : 'waiting';
    button.setAttribute('aria-current', String(item === state.current));
    button.setAttribute('aria-label', `${item.name}, ${note}`);
    button.dataset.tip = `${item.name}: ${note}`;
    button.lastChild.textContent = item.problem ? '!' : item.answer ? visibleOf(item).length : '…';
    button.classList.toggle('failed', Boolean(item.problem));
  });
}

function thumbOf(item) {
  const image = element('img', { alt: '', src: item.url });
  image.addEventListener('error', () => image.classList.add('broken'));
  const button = element('button', { type: 'button', class: 'thumb' }, [image, element('b')]);
  button.addEventListener('click', () => choose(item));
  return element('li', {}, [button]);
}

function renderCode(item) {
  const ready = Boolean(item) && Boolean(item.answer) && state.mode !== 'stream' && at('problem').hidden;
  at('code').hidden = !ready;
  if (!ready) return;
  for (const name of TABS) {
    at(`tab-${name}`).setAttribute('aria-selected', String(state.tab === name));
    at(`tab-${name}`).tabIndex = state.tab === name ? 0 : -1;
  }
  const text = codeOf(item);
  at('text').setAttribute('aria-labelledby', `tab-${state.tab}`);
  at('text').textContent = text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}\n… (copy or download it for the rest)` : text;
}

function codeOf(item) {
  const visible = visibleOf(item);
  if (state.tab === 'json') return jsonOf(item.model.name, item.name, item.answer, visible);
  const url = new URL(detectPath(item.model.name, fixed(state.thresh), fixed(state.nms)), location.href).href;
  const keyed = at('desk').dataset.key === 'yes';
  const likely = classesOf(likelyOf(item));
  const wanted = likely.filter(each => !state.hidden.has(each.class_id)).map(each => each.label);
  const file = item.live ? 'frame.jpg' : item.name;
  const type = item.live ? 'image/jpeg' : typeOf(item.file);
  if (state.tab === 'curl') return curlOf(url, file, type, keyed);
  return pythonOf(url, file, type, keyed, wanted.length < likely.length ? wanted : null);
}
