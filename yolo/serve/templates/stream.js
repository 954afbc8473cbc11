// The live video of the service: a multipart answer of JPEG images, taken apart here so that its end is seen.
const MOST_WAITING = 2 ** 25;  // bytes of one image that may wait for their end

const otherKindError = () => new ServiceError('An answer of another kind', 'Expected a video of JPEG images.', 'answer');

function joined(a, b) {
  const whole = new Uint8Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}

function placeOf(bytes, text, start = 0) {
  const wanted = [...text].map(each => each.charCodeAt(0));
  for (let place = bytes.indexOf(wanted[0], start); place >= 0; place = bytes.indexOf(wanted[0], place + 1)) {
    if (wanted.every((each, offset) => bytes[place + offset] === each)) return place;
  }
  return -1;
}

// The first part in `bytes`: {image, rest}; null while its end is missing.
function firstPart(bytes, boundary) {
  const start = placeOf(bytes, boundary);
  const headEnd = start < 0 ? -1 : placeOf(bytes, '\r\n\r\n', start);
  if (headEnd < 0) return null;
  const head = new TextDecoder('latin1').decode(bytes.subarray(start, headEnd));
  const length = /content-length:\s*(\d+)/i.exec(head);
  const begin = headEnd + 4;
  const end = length ? begin + Number(length[1]) : placeOf(bytes, `\r\n${boundary}`, begin);
  if (end < 0 || end > bytes.length) return null;
  return { image: bytes.slice(begin, end), rest: bytes.subarray(end) };
}

// Show the images of the live video until the signal ends it. shown(bitmap, rate) is called for each.
async function runStream(signal, shown) {
  const answer = await ask('stream', { signal });
  const named = /boundary="?([^";]+)/i.exec(answer.headers.get('Content-Type') || '');
  if (!named) throw otherKindError();
  const boundary = named[1].startsWith('--') ? named[1] : `--${named[1]}`;
  const reader = answer.body.getReader();
  const measured = rateMeter();
  let bytes = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read().catch(error => {
      if (error.name === 'AbortError') throw error;
      return { done: true };
    });
    if (done) throw new ServiceError('The video ended', 'Its source is over, or the service was stopped.', 'gone');
    bytes = joined(bytes, value);
    let image = null;  // of those that came together, only the last one is drawn
    for (let part = firstPart(bytes, boundary); part; part = firstPart(bytes, boundary)) {
      ({ image, rest: bytes } = part);
    }
    if (bytes.length > MOST_WAITING) throw otherKindError();
    if (image) {
      const bitmap = await createImageBitmap(new Blob([image], { type: 'image/jpeg' }));
      if (signal.aborted) return;
      shown(bitmap, measured(performance.now()));
    }
  }
}
