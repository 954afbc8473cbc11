// The request that the page shows, for curl and for Python, and its answer as JSON.
const shellQuoted = text => `'${text.replaceAll("'", String.raw`'\''`)}'`;
const pythonQuoted = text => JSON.stringify(text).replaceAll('\u007f', '\\u007f');
const fixed = number => String(Number(number.toFixed(2)));

function curlOf(url, file, type, keyed) {
  return [
    'curl --fail-with-body',
    ...(keyed ? [`  --header "${KEY_HEADER}: $YOLO_API_KEY"`] : []),
    `  --header ${shellQuoted(`Content-Type: ${type}`)}`,
    `  --data-binary ${shellQuoted(`@${file}`)}`,
    `  ${shellQuoted(url)}`,
  ].join(' \\\n') + '\n';
}

// wanted: names of the classes that the page shows; null for all.
function pythonOf(url, file, type, keyed, wanted) {
  return [
    'import json',
    ...(keyed ? ['import os'] : []),
    'from pathlib import Path',
    'from urllib.request import Request, urlopen',
    '',
    `headers = {"Content-Type": ${pythonQuoted(type)}}`,
    ...(keyed ? [`headers["${KEY_HEADER}"] = os.environ["YOLO_API_KEY"]`] : []),
    `url = ${pythonQuoted(url)}`,
    `request = Request(url, Path(${pythonQuoted(file)}).read_bytes(), headers)`,
    'with urlopen(request) as answer:',
    '    found = json.load(answer)["results"][0]["detections"]',
    ...(wanted ? [`wanted = {${wanted.map(pythonQuoted).join(', ')}}`] : []),
    'for each in found:',
    ...(wanted ? ['    if each["label"] in wanted:',
      '        print(each["label"], each["score"], each["box"])']
      : ['    print(each["label"], each["score"], each["box"])']),
  ].join('\n') + '\n';
}

function jsonOf(model, name, answer, detections) {
  const rows = detections.map(each => `        ${JSON.stringify(each)}`).join(',\n');
  const head = JSON.stringify({ model, results: [{ name, width: answer.width, height: answer.height, detections: [] }],
    time_ms: answer.time_ms }, null, 2);
  return `${rows ? head.replace('"detections": []', () => `"detections": [\n${rows}\n      ]`) : head}\n`;
}
