import { withParams } from './address.js';

const pause = 4_000;
const prompts = [
  'How does this text get here?',
  'What happens when I close this page?',
  'What if the server restarts now?',
  'Why is this compressed and still not late?',
];

/**
 * Shows an answer as it comes. Asks by itself, again and again, until a prompt is typed; not where the user prefers less
 * motion.
 *
 * @param {string} url
 * @param {HTMLElement} panel
 */
export function showTokens(url, panel) {
  const form = panel.querySelector('form');
  const input = form.elements.prompt;
  const button = panel.querySelector('.run');
  let runs = !matchMedia('(prefers-reduced-motion: reduce)').matches;
  let stop;
  let timer;
  let turn = 0;

  function ask() {
    stop?.();
    clearTimeout(timer);
    stop = answer(withParams(url, new FormData(form)), panel, { isAsked: !runs, onEnd: ended });
    showButton();
  }

  function ended() {
    stop = undefined;
    if (runs) timer = setTimeout(askNext, pause);
    showButton();
  }

  function askNext() {
    // An answer that is not seen costs the server as much; a prompt that is being typed is the user's.
    if (document.hidden || document.activeElement === input) {
      timer = setTimeout(askNext, pause);
      return;
    }
    turn += 1;
    input.value = prompts[turn % prompts.length];
    ask();
  }

  function leave() {
    runs = false;
    clearTimeout(timer);
    showButton();
  }

  function showButton() {
    button.textContent = runs || stop ? 'Stop' : 'Run';
    panel.dataset.runs = String(runs);
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    leave();
    ask();
  });
  input.addEventListener('input', leave);
  button.addEventListener('click', () => {
    if (runs || stop) {
      stop?.();
      stop = undefined;
      leave();
    } else {
      runs = true;
      ask();
    }
  });
  if (runs) ask();
  else showButton();
}

/** Returns what stops it. */
function answer(url, panel, { isAsked, onEnd }) {
  const text = panel.querySelector('.answer');
  const askedAt = performance.now();
  let firstAt;
  let count = 0;
  const source = new EventSource(url);

  function show(state, message) {
    panel.dataset.state = state;
    panel.dataset.tokens = String(count);
    panel.querySelector('.state').textContent = message;
    // A screen reader waits until the answer is complete.
    text.ariaBusy = String(state === 'streaming' || state === 'reconnecting');
  }

  text.replaceChildren();
  // Nor does it read what was not asked for.
  text.ariaLive = isAsked ? 'polite' : 'off';
  show('streaming', 'Asked');
  source.addEventListener('token', ({ data }) => {
    firstAt ??= performance.now();
    count += 1;
    append(text, JSON.parse(data).text);
    show('streaming', `${count} tokens, the first after ${Math.round(firstAt - askedAt)} ms`);
  });
  source.addEventListener('done', () => {
    source.close();
    const rate = count / ((performance.now() - firstAt) / 1000);
    show('done', `${count} tokens · ${rate.toFixed(1)} tokens/s · first after ${Math.round(firstAt - askedAt)} ms`);
    onEnd();
  });
  source.addEventListener('error', () => {
    if (source.readyState === EventSource.CLOSED) {
      show('failed', 'The server refused to answer');
      onEnd();
    } else show('reconnecting', `${count} tokens · reconnecting`);
  });
  return () => {
    source.close();
    if (text.ariaBusy === 'true') show('stopped', `Stopped after ${count} tokens; the server stopped too`);
  };
}

function append(answer, text) {
  const atEnd = answer.scrollHeight - answer.scrollTop - answer.clientHeight < 24;
  const token = document.createElement('span');
  token.textContent = text;
  answer.append(token);
  if (atEnd) answer.scrollTop = answer.scrollHeight;
}
