const mostLines = 500;
const retryDelay = 1_000;

/**
 * Shows the lines of the followed file, and asks again whenever the response breaks off. Ends only where the server
 * follows no file.
 *
 * @param {string} url
 * @param {HTMLElement} panel
 */
export async function follow(url, panel) {
  const list = panel.querySelector('.lines');
  for (;;) {
    try {
      const response = await fetch(url, { headers: { accept: 'application/x-ndjson' } });
      if (response.status === 404) {
        const { error } = await response.json();
        list.dataset.empty = error;
        show(panel, 'off', 'Off');
        return;
      }
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      // The server starts with the file's last lines again.
      list.replaceChildren();
      show(panel, 'live', 'Live');
      await readRecords(response, (records) => append(list, records));
      throw new Error('the server ended the stream');
    } catch (error) {
      show(panel, 'reconnecting', `Reconnecting: ${error.message}`);
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
