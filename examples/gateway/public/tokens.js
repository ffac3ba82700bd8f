import { withParams } from './address.js';

/**
 * Shows an answer as it comes, for each prompt that is sent.
 *
 * @param {string} url
 * @param {HTMLElement} panel
 */
export function askForTokens(url, panel) {
  const form = panel.querySelector('form');
  let stop = () => {};
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    stop();
    stop = ask(withParams(url, new FormData(form)), panel);
  });
}

/** Returns what stops it. */
function ask(url, panel) {
  const answer = panel.querySelector('.answer');
  const askedAt = performance.now();
  let firstAt;
  let count = 0;
  const source = new EventSource(url);

  function show(state, text) {
    panel.dataset.state = state;
    panel.dataset.tokens = String(count);
    panel.querySelector('.state').textContent = text;
    // A screen reader waits until the answer is complete.
    answer.ariaBusy = String(state === 'streaming' || state === 'reconnecting');
  }

  answer.textContent = '';
  show('streaming', 'Asked');
  source.addEventListener('token', ({ data }) => {
    firstAt ??= performance.now();
    count += 1;
    append(answer, JSON.parse(data).text);
    show('streaming', `${count} tokens`);
  });
  source.addEventListener('done', () => {
    source.close();
    const rate = count / ((performance.now() - firstAt) / 1000);
    show('done', `${count} tokens · ${rate.toFixed(1)} tokens/s · first after ${Math.round(firstAt - askedAt)} ms`);
  });
  source.addEventListener('error', () => {
    if (source.readyState === EventSource.CLOSED) show('failed', 'The server refused to answer');
    else show('reconnecting', `${count} tokens · reconnecting`);
  });
  return () => source.close();
}

function append(answer, text) {
  const atEnd = answer.scrollHeight - answer.scrollTop - answer.clientHeight < 24;
  answer.append(text);
  if (atEnd) answer.scrollTop = answer.scrollHeight;
}
