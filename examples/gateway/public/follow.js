const mostLines = 500;
const retryDelay = 1_000;

/**
 * Shows the lines of the file that the server follows, and asks again whenever the response breaks off. Where it follows
 * none, there is no card either.
 *
 * @param {string} url
 * @param {HTMLElement} panel
 * @returns {(file: string | null) => void} takes the name of the file, which the server says whenever it is asked
 */
export function showFile(url, panel) {
  let stop;
  return (file) => {
    panel.hidden = file === null;
    panel.querySelector('.name').textContent = file ?? '';
    if (file === null) {
      stop?.abort();
      stop = undefined;
      show(panel, 'off', 'Off');
    } else if (!stop) {
      stop = new AbortController();
      void follow(url, panel, stop.signal);
    }
  };
}

async function follow(url, panel, signal) {
  const list = panel.querySelector('.lines');
  while (!signal.aborted) {
    try {
      const response = await fetch(url, { headers: { accept: 'application/x-ndjson' }, signal });
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      // The server starts with the file's last lines again.
      list.replaceChildren();
      show(panel, 'live', 'Live');
      await readRecords(response, (records) => append(list, records));
      throw new Error('the server ended the stream');
    } catch (error) {
      if (!signal.aborted) show(panel, 'reconnecting', `Reconnecting: ${error.message}`);
    }
    await new Promise((resolve) => setTimeout(resolve, retryDelay));
  }
}

/** Gives the records of each piece that arrives to `take`, together. */
async function readRecords(response, take) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    take(lines.filter((line) => line !== '').map((line) => JSON.parse(line)));
  }
}

function append(list, records) {
  // A reader who scrolled back is reading.
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 24;
  list.append(...records.slice(-mostLines).map(toItem));
  while (list.childElementCount > mostLines) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

function toItem({ line, notice }) {
  const item = document.createElement('li');
  item.textContent = notice === undefined ? line : `The file was ${notice}`;
  item.className = notice === undefined ? '' : 'notice';
  return item;
}

function show(panel, state, text) {
  panel.dataset.state = state;
  panel.querySelector('.state').textContent = text;
}
