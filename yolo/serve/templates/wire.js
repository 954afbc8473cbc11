// Events of the page → requests and changes of what is shown. The last file: it starts the page.
const AT_ONCE = 4;  // requests for images; the service computes those that wait together
const MOST_IMAGES = 300;
const SAVED_QUALITY = .92;  // of a JPEG
const STATS_EVERY = 1;  // seconds

const mostBytes = Number(at('desk').dataset.mostBytes) || Infinity;
let redraw = 0;
let running = null;  // AbortController of the camera or the live video
let generation = new AbortController();  // of the requests for images

const hint = () => `JPEG, PNG, WebP, BMP or TIFF${mostBytes < Infinity ? `, up to ${bytesText(mostBytes)} each` : ''}.`;

function endLive() {
  if (running) running.abort();
  running = null;
}

function abandonRequests() {
  generation.abort();
  generation = new AbortController();
}

function later() {
  cancelAnimationFrame(redraw);
  redraw = requestAnimationFrame(render);
}

// Images

function addFiles(files) {
  const chosen = [...files].slice(0, MOST_IMAGES - state.images.length);
  if (!files.length) return;
  if (state.mode !== 'images') setMode('images');
  const items = chosen.map(file => ({ name: file.name || 'pasted', file, url: URL.createObjectURL(file), size: null,
    blind: false, live: false, answer: null, problem: null, busy: false, model: null }));
  state.images.push(...items);
  state.problem = null;
  if (items.length) choose(items[0]);
  items.forEach(measure);
  if (items.length > 1 || chosen.length < files.length) say(chosen.length < files.length ? `${counted(MOST_IMAGES, 'image')} at most; ${files.length - chosen.length} left out`
    : `Sending ${counted(items.length, 'image')} …`);
  work();
}

// The size of an image, turned upright by its EXIF data, before the service answers.
function measure(item) {
  const probe = new Image();
  probe.onload = () => { item.size ??= [probe.naturalWidth, probe.naturalHeight]; later(); };
  probe.onerror = () => { item.blind = true; later(); };
  probe.src = item.url;
}

function choose(item) {
  state.current = item;
  state.marked = null;
  at('photo').src = item.url;
  at('photo').alt = '';
  render();
  announce(item);
}

function announce(item) {
  if (item.problem) say(`${item.name} could not be used.`);
  else say(item.answer ? `${item.name}: ${summaryOf(item)}` : `Sending ${item.name} …`);
}

// Send the images that wait, the shown one first, a few at once.
function work() {
  const asked = state.images.filter(item => item.busy).length;
  const waiting = state.images.filter(item => !item.busy && !item.answer && !item.problem);
  waiting.sort((a, b) => (b === state.current) - (a === state.current));
  waiting.slice(0, Math.max(0, AT_ONCE - asked)).forEach(detectItem);
}

async function detectItem(item) {
  const { signal } = generation;
  if (!state.model) return;
  item.busy = true;
  item.model = state.model;
  try {
    if (item.file.size > mostBytes) {
      throw new ServiceError('Too large', `${item.name} has ${bytesText(item.file.size)}; the service takes at most ${bytesText(mostBytes)}.`, 413);
    }
    if (item.file.size === 0) throw new ServiceError('An empty file', `${item.name} has no content.`, 400);
    const busy = seconds => say(`The service is busy. Trying again in ${counted(Math.ceil(seconds), 'second')} …`);
    const answer = await detectIn(item.file, item.model, signal, busy);
    if (signal.aborted) return;
    Object.assign(item, { answer, size: [answer.width, answer.height], keptFor: null, busy: false });
    if (item === state.current) announce(item);
  } catch (error) {
    if (signal.aborted) return;
    item.busy = false;
    if (error instanceof ServiceError) error.message = error.message.replace(/^the image: /, `${item.name}: `);
    item.problem = problemOf(error, () => { item.problem = null; work(); choose(item); });
    if (item === state.current) announce(item);
    if (error.kind === 401) askForKey();
  }
  work();
  later();
}

function problemOf(error, again) {
  if (!(error instanceof ServiceError)) return { title: 'The page failed', text: String(error), again };
  return { title: error.title, text: error.message, again: [413, 415].includes(error.kind) ? null : again };
}

// Show the settings, and announce what is detected with them; the camera is too fast for screen readers.
function changed() {
  render();
  if (state.mode === 'images' && state.current) announce(state.current);
}

function clearImages() {
  abandonRequests();
  state.images.forEach(item => URL.revokeObjectURL(item.url));
  Object.assign(state, { images: [], current: null, marked: null, problem: null });
  at('strip').replaceChildren();
  say(hint());
  render();
  at('choose').focus();
}

// Models, key

async function loadModels() {
  state.problem = null;
  if (at('desk').dataset.key === 'yes' && !storedKey()) {
    askForKey();
    return;
  }
  try {
    const { models } = await (await ask('models', {}, () => say('The service is busy …'))).json();
    if (!Array.isArray(models) || !models.length) throw new ServiceError('No models', 'The service has none.', 'answer');
    state.models = models;
    at('model').replaceChildren(...models.map(each => element('option', { value: each.name, text: each.name })));
    at('key-form').hidden = true;
    readLink();
    work();
  } catch (error) {
    if (error.kind === 401) askForKey(error.message);
    state.problem = problemOf(error, loadModels);
  }
  render();
}

function askForKey(why = '') {
  sessionStorage.removeItem(KEY_PLACE);
  at('key-form').hidden = false;
  at('facts').textContent = 'This service needs a key.';
  if (why) say(why);
  at('key').focus();
}

function useModel(model) {
  if (state.model && state.model.name !== model.name) {
    abandonRequests();
    state.images.forEach(item => Object.assign(item, { answer: null, problem: null, busy: false, keptFor: null }));
  }
  state.model = model;
  at('model').value = model.name;
  const facts = [counted(model.classes.length, 'class', 'classes'), `${model.width} × ${model.height}`,
    model.letterbox ? 'letterboxed' : '', [model.engine, model.precision].filter(Boolean).join(' ')];
  at('facts').textContent = [model.name, ...facts].filter(Boolean).join(' · ');
}

// The settings are in the address, so that a link opens the page with them.
function readLink() {
  const given = new URLSearchParams(location.hash.slice(1));
  const model = state.models.find(each => each.name === given.get('model')) || state.models[0];
  const part = (name, low) => {
    const value = Number(given.get(name));
    return given.has(name) && value >= low && value <= 1 ? value : model[name];
  };
  useModel(model);
  Object.assign(state, { thresh: part('thresh', LOWEST_SCORE), nms: part('nms', 0) });
}

function writeLink() {
  if (!state.model) return;
  const settings = new URLSearchParams({ model: state.model.name, thresh: fixed(state.thresh), nms: fixed(state.nms) });
  history.replaceState(null, '', `#${settings}`);
}

// Camera, live video

function setMode(mode) {
  endLive();
  Object.assign(state, { mode, live: null, marked: null, problem: null });
  say(mode === 'images' && !state.current ? hint() : '');
  if (mode === 'stream') startStream();
  if (mode === 'images' && state.current) choose(state.current);
  render();
}

function liveItem(name) {
  return { name, live: true, running: true, size: null, blind: false, answer: null, problem: null, model: state.model };
}

function drawFrame(source, width, height) {
  at('frame').width = width;
  at('frame').height = height;
  at('frame').getContext('2d').drawImage(source, 0, 0);
}

async function startCamera(id = '') {
  endLive();
  const control = new AbortController();
  running = control;
  state.problem = null;
  say('Waiting for the camera …');
  try {
    const stream = await openCamera(id);
    if (control.signal.aborted) {
      closeCamera(stream);
      return;
    }
    const choices = await cameraChoices();
    const used = stream.getVideoTracks()[0].getSettings().deviceId;
    at('lens-pick').replaceChildren(...choices.map((each, place) => element('option', {
      value: each.deviceId, text: each.label || `Camera ${place + 1}` })));
    at('lens-pick').value = used || '';
    state.live = liveItem('camera');
    at('rate').textContent = '';
    say('The camera is on.');
    render();
    at('camera-stop').focus();
    await runCamera(stream, control.signal, () => state.model, (canvas, answer, rate) => {
      drawFrame(canvas, canvas.width, canvas.height);
      Object.assign(state.live, { answer, size: [answer.width, answer.height], keptFor: null, model: state.model });
      at('rate').textContent = rate ? `${rate.toFixed(1)} frames/s` : '';
      render();
    });
  } catch (error) {
    if (control.signal.aborted) return;
    state.live = null;
    state.problem = problemOf(error, () => startCamera());
    say('');
  }
  if (running === control) running = null;
  render();
}

function stopCamera() {
  endLive();
  if (state.live) state.live.running = false;
  if (state.live && !state.live.answer) state.live = null;
  say('The camera is off. The sliders act on its last frame.');
  render();
  at('camera-start').focus();
}

async function startStream() {
  const control = new AbortController();
  running = control;
  state.live = liveItem('live video');
  say('Waiting for the video …');
  watchStats(control.signal);
  try {
    await runStream(control.signal, (bitmap, rate) => {
      drawFrame(bitmap, bitmap.width, bitmap.height);
      const first = state.live.size === null;
      state.live.size = [bitmap.width, bitmap.height];
      bitmap.close();
      at('live-seen').textContent = rate ? rate.toFixed(1) : '–';
      if (first) say('The video is live.');
      renderSheet(state.live);
    });
  } catch (error) {
    if (control.signal.aborted) return;
    state.live = null;
    state.problem = problemOf(error, () => setMode('stream'));
    if (error.kind === 401) askForKey();
    say('');
    render();
  }
}

async function watchStats(signal) {
  while (!signal.aborted) {
    try {
      const stats = await (await ask('stream/stats', { signal })).json();
      at('live-rate').textContent = typeof stats.frames_per_s === 'number' ? stats.frames_per_s.toFixed(1) : '–';
      at('live-count').textContent = typeof stats.frames === 'number' ? stats.frames.toLocaleString('en') : '–';
      at('live-source').textContent = textOf(stats.source);
    } catch {
      return;  // the video shows the error itself
    }
    await pause(STATS_EVERY);
  }
}

// Copies and files

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    say('Copied.');
  } catch {  // no secure context, or not allowed: select it, so that the keys copy it
    getSelection().selectAllChildren(at('text'));
    say(document.execCommand('copy') ? 'Copied.' : 'Selected: copy it with Ctrl C.');
  }
}

function saveBlob(blob, name) {
  const link = element('a', { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

const stemOf = item => (item.name.replace(/\.[^.]*$/, '') || 'image').replace(/[^\p{L}\p{N} ._-]/gu, '_');

// The image with its boxes, in its own pixels.
async function saveImage(item) {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = item.size;
  const pen = canvas.getContext('2d');
  if (!item.blind) pen.drawImage(item.live ? at('frame') : at('photo'), 0, 0, ...item.size);
  drawDetections(pen, visibleOf(item), item.size, 7);
  const blob = await jpegOf(canvas, SAVED_QUALITY);
  if (blob) saveBlob(blob, `${stemOf(item)}-boxes.jpg`);
  else say('This image is too large to be drawn by the browser.');
}

function selectTab(name) {
  state.tab = name;
  renderCode(shownItem());
  at(`tab-${name}`).focus();
}

// The smallest visible box at a point of the sheet.
function detectionAt(event) {
  const item = shownItem();
  const area = at('boxes').getBoundingClientRect();
  const x = (event.clientX - area.left) / area.width * item.size[0];
  const y = (event.clientY - area.top) / area.height * item.size[1];
  const inside = visibleOf(item).filter(({ box }) => x >= box[0] && x <= box[2] && y >= box[1] && y <= box[3]);
  const size = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);
  return inside.reduce((best, each) => (best === null || size(each) < size(best) ? each : best), null);
}

function detectionOfRow(target) {
  const row = target.closest && target.closest('.row');
  return row ? visibleOf(shownItem())[Number(row.dataset.row)] ?? null : null;
}

function moveInList(event) {
  const step = { ArrowDown: 1, ArrowUp: -1, Home: -MOST_ROWS, End: MOST_ROWS }[event.key];
  const rows = [...at('found').querySelectorAll('.row')];
  if (!step || !rows.length) return;
  event.preventDefault();
  const place = rows.indexOf(document.activeElement);
  const next = rows[Math.max(0, Math.min(rows.length - 1, place + step))];
  rows.forEach(row => { row.tabIndex = row === next ? 0 : -1; });
  next.focus();
}

at('choose').addEventListener('click', () => at('files').click());
at('add').addEventListener('click', () => at('files').click());
at('files').addEventListener('change', () => { addFiles(at('files').files); at('files').value = ''; });
at('clear').addEventListener('click', clearImages);
at('save').addEventListener('click', () => saveImage(shownItem()));
at('again').addEventListener('click', () => {
  const item = shownItem();
  const problem = (state.mode === 'images' && item && item.problem) || state.problem;
  if (problem && problem.again) problem.again();
});
for (const mode of MODES) {
  if (at(`mode-${mode}`)) at(`mode-${mode}`).addEventListener('click', () => setMode(mode));
}
at('camera-start').addEventListener('click', () => startCamera());
at('camera-stop').addEventListener('click', stopCamera);
at('lens-pick').addEventListener('change', () => startCamera(at('lens-pick').value));
at('model').addEventListener('change', () => {
  useModel(state.models.find(each => each.name === at('model').value));
  writeLink();
  work();
  render();
});
for (const name of ['thresh', 'nms']) {
  at(name).addEventListener('input', () => { state[name] = Number(at(name).value) / 100; later(); });
  at(name).addEventListener('change', () => { writeLink(); changed(); });
}
at('reset').addEventListener('click', () => {
  Object.assign(state, { thresh: state.model.thresh, nms: state.model.nms });
  writeLink();
  changed();
  at('thresh').focus();
});
at('classes').addEventListener('click', event => {
  const chip = event.target.closest('.chip');
  if (!chip) return;
  const label = Number(chip.dataset.class);
  if (!state.hidden.delete(label)) state.hidden.add(label);
  changed();
});
at('all').addEventListener('click', () => { state.hidden.clear(); changed(); });
at('none').addEventListener('click', () => {
  classesOf(candidatesOf(shownItem())).forEach(each => state.hidden.add(each.class_id));
  changed();
});
at('found').addEventListener('keydown', moveInList);
at('found').addEventListener('click', () => at('view').scrollIntoView({ block: 'nearest', behavior: 'smooth' }));
at('found').addEventListener('pointerover', event => mark(detectionOfRow(event.target)));
at('found').addEventListener('pointerleave', () => mark(null));
at('found').addEventListener('focusin', event => mark(detectionOfRow(event.target)));
at('found').addEventListener('focusout', () => mark(null));
at('boxes').addEventListener('pointermove', event => { if (state.mode !== 'stream') mark(detectionAt(event)); });
at('boxes').addEventListener('pointerleave', () => mark(null));
for (const name of TABS) at(`tab-${name}`).addEventListener('click', () => selectTab(name));
document.querySelector('[role=tablist]').addEventListener('keydown', event => {
  const step = { ArrowRight: 1, ArrowLeft: TABS.length - 1 }[event.key];
  if (step) selectTab(TABS[(TABS.indexOf(state.tab) + step) % TABS.length]);
});
at('copy').addEventListener('click', () => copyText(codeOf(shownItem())));
at('download').addEventListener('click', () => {
  const item = shownItem();
  const ending = { json: '.json', curl: '.sh', python: '.py' }[state.tab];
  saveBlob(new Blob([codeOf(item)], { type: 'text/plain' }), `${stemOf(item)}${ending}`);
});
at('key-form').addEventListener('submit', event => {
  event.preventDefault();
  sessionStorage.setItem(KEY_PLACE, at('key').value.trim());
  at('key').value = '';
  at('key-form').hidden = true;
  loadModels();
});

let depth = 0;  // how many elements of the page a drag has entered
addEventListener('dragenter', event => { event.preventDefault(); depth += 1; document.body.classList.add('dragging'); });
addEventListener('dragover', event => event.preventDefault());
addEventListener('dragleave', () => { depth -= 1; if (depth <= 0) document.body.classList.remove('dragging'); });
addEventListener('drop', event => {
  event.preventDefault();
  depth = 0;
  document.body.classList.remove('dragging');
  if (event.dataTransfer.files.length) addFiles(event.dataTransfer.files);
  else say('That was no file. Save the image first, then drop it.');
});
addEventListener('paste', event => {
  const files = event.clipboardData ? event.clipboardData.files : [];
  if (files.length) addFiles(files);
  else if (!/^(input|textarea)$/i.test(event.target.tagName)) say('The clipboard holds no image.');
});
addEventListener('hashchange', () => { if (state.model) { readLink(); work(); render(); } });
addEventListener('pagehide', endLive);
new ResizeObserver(later).observe(at('view'));
addEventListener('resize', later);
say(hint());
render();
loadModels();
