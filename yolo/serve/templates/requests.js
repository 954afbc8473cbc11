// Requests to the service: its key, its errors in words, another try when it is busy.
const KEY_PLACE = 'yolo-darknet key';
const KEY_HEADER = 'X-API-Key';
const LOWEST_SCORE = .02;  // of requests, so that the sliders need no new request
const MOST_BOXES = 2000;
const TRIES = 6;
const LONGEST_WAIT = 10;  // seconds between two tries
const LONGEST_MESSAGE = 400;
const MEGABYTE = 2 ** 20;  // as the service counts

class ServiceError extends Error {
  constructor(title, text, kind) {
    super(text);
    this.title = title;
    this.kind = kind;
  }
}

const TITLES = {
  400: 'The service cannot use this', 401: 'The key is not accepted', 403: 'Not allowed', 404: 'Not found',
  408: 'The image came too slowly', 413: 'Too large', 415: 'Not an image', 421: 'Another host name', 422: 'The service cannot use this',
  429: 'Too many requests', 500: 'The service failed', 503: 'The service is busy', 504: 'No answer in time',
};

const storedKey = () => sessionStorage.getItem(KEY_PLACE) || '';
const headersOf = headers => (storedKey() ? { ...headers, [KEY_HEADER]: storedKey() } : headers);
const pause = seconds => new Promise(done => { setTimeout(done, 1000 * seconds); });

// The answer of the service. busy: called with the seconds to wait before another try.
async function ask(path, options = {}, busy = () => {}) {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await reach(path, options);
    if (answer.ok) return answer;
    const retry = Number(answer.headers.get('Retry-After'));
    if (answer.status !== 503 || attempt === TRIES) throw await errorOf(answer);
    const seconds = Math.min(LONGEST_WAIT, Math.max(.2, retry || 1));
    busy(seconds);
    await pause(seconds);
    if (options.signal && options.signal.aborted) throw new DOMException('', 'AbortError');
  }
}

async function reach(path, options) {
  try {
    return await fetch(path, { cache: 'no-store', ...options, headers: headersOf(options.headers || {}) });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw await lostOf(options.body);
  }
}

// Why a request had no answer: the file, the service, or the way between them.
async function lostOf(body) {
  if (body instanceof Blob) {
    try {
      await body.slice(0, 1).arrayBuffer();
    } catch {
      return new ServiceError('The file cannot be read', 'It changed, was deleted, or is a folder.', 'file');
    }
  }
  try {
    await fetch('health', { cache: 'no-store', headers: headersOf({}) });
  } catch {
    return new ServiceError('The service does not answer', `Is it still running at ${location.host}?`, 'gone');
  }
  const sent = body instanceof Blob ? ` of ${bytesText(body.size)}` : '';
  return new ServiceError('The request was cut off', `The service closed it before the end. Is a request${sent} too large for it?`, 'cut');
}

async function errorOf(answer) {
  const title = TITLES[answer.status] || `The service answered ${answer.status}`;
  let text = '';
  try {
    const { error } = await answer.json();
    text = typeof error === 'string' ? error : '';
  } catch { /* not JSON: the title says enough */ }
  return new ServiceError(title, (text || `Status ${answer.status} ${answer.statusText}`.trim()).slice(0, LONGEST_MESSAGE), answer.status);
}

const typeOf = blob => blob.type || 'application/octet-stream';

function detectPath(model, thresh, nmsThresh, most) {
  const query = new URLSearchParams({ model, thresh, nms: nmsThresh });
  if (most) query.set('max', most);
  return `detect?${query}`;
}

// What the service finds in an image before NMS: {width, height, detections, time_ms}.
async function detectIn(blob, model, signal, busy) {
  const path = detectPath(model.name, LOWEST_SCORE, 'off', MOST_BOXES);
  const headers = { Accept: 'application/json', 'Content-Type': typeOf(blob) };
  const answer = await ask(path, { method: 'POST', body: blob, headers, signal }, busy);
  const content = await answer.json().catch(() => null);
  const result = content && Array.isArray(content.results) ? content.results[0] : null;
  if (!result || !Array.isArray(result.detections) || !(result.width > 0 && result.height > 0)) {
    throw new ServiceError('An answer of another kind', 'Expected the detections of one image.', 'answer');
  }
  return { ...result, time_ms: content.time_ms || {} };
}

function bytesText(count) {
  if (count < MEGABYTE) return `${Math.max(1, Math.round(count / 1024))} kB`;
  return `${Number((count / MEGABYTE).toFixed(1))} MB`;
}
