// The camera of the browser: one frame after another goes to the service, and is shown with its boxes.
const LONGEST_SIDE = 1280;  // of a frame that is sent
const FRAME_QUALITY = .85;
const RATE_SPAN = 3;  // seconds over which frames are counted

const REFUSALS = {
  NotAllowedError: ['The camera is not allowed', 'Allow it in the address bar of the browser, then try again.'],
  NotFoundError: ['No camera found', 'Connect one, then try again.'],
  NotReadableError: ['The camera cannot be used', 'Another program may be using it.'],
  OverconstrainedError: ['This camera is gone', 'Choose another one, then try again.'],
  AbortError: ['The camera cannot be used', 'The system stopped it.'],
};

function insecureError() {
  return new ServiceError('No camera on this address', 'Browsers give the camera to https and to localhost alone. '
    + `Open the page through a tunnel: ssh -L 8000:127.0.0.1:${location.port || 80} ${location.hostname}, then http://127.0.0.1:8000`, 'camera');
}

async function openCamera(id) {
  if (!navigator.mediaDevices || !navigator.mediaDevices.getUserMedia) throw insecureError();
  const wish = id ? { deviceId: { exact: id } } : { facingMode: 'environment' };
  try {
    const video = { ...wish, width: { ideal: LONGEST_SIDE } };
    return await navigator.mediaDevices.getUserMedia({ video, audio: false });
  } catch (error) {
    const [title, text] = REFUSALS[error.name] || ['The camera cannot be used', error.message];
    throw new ServiceError(title, text, 'camera');
  }
}

function closeCamera(stream) {
  stream.getTracks().forEach(track => track.stop());
}

async function cameraChoices() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter(each => each.kind === 'videoinput');
}

// Frames per second of the last seconds; call it for each frame.
function rateMeter() {
  const times = [];
  return now => {
    times.push(now);
    while (times.length > 2 && now - times[0] > 1000 * RATE_SPAN) times.shift();
    return times.length < 2 ? 0 : 1000 * (times.length - 1) / (now - times[0]);
  };
}

// Send frames until the signal ends it. shown(canvas, answer, rate) is called for each.
async function runCamera(stream, signal, modelNow, shown) {
  const video = document.createElement('video');
  const canvas = document.createElement('canvas');
  const measured = rateMeter();
  const ended = new Promise(done => {
    stream.getTracks().forEach(track => track.addEventListener('ended', () => done('ended')));
    signal.addEventListener('abort', () => done('stopped'));
  });
  video.muted = true;
  video.playsInline = true;
  video.srcObject = stream;
  try {
    await video.play();
    let last = '';
    ended.then(how => { last = how; });
    while (!last) {
      if (document.hidden) {
        await Promise.race([pause(.3), ended]);
        continue;
      }
      const blob = await frameOf(video, canvas);
      const answer = await detectIn(blob, modelNow(), signal);
      if (!last) shown(canvas, answer, measured(performance.now()));
    }
    if (last === 'ended') throw new ServiceError('The camera was disconnected', 'Connect it, then try again.', 'camera');
  } finally {
    closeCamera(stream);
    video.srcObject = null;
  }
}

async function frameOf(video, canvas) {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(video.videoWidth, video.videoHeight));
  canvas.width = Math.max(1, Math.round(video.videoWidth * scale));
  canvas.height = Math.max(1, Math.round(video.videoHeight * scale));
  canvas.getContext('2d').drawImage(video, 0, 0, canvas.width, canvas.height);
  const blob = await jpegOf(canvas, FRAME_QUALITY);
  if (!blob) throw new ServiceError('The camera cannot be used', 'It gives no image.', 'camera');
  return blob;
}
