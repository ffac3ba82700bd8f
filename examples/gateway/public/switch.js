const patience = 5_000;
const fields = 'input, textarea, select, [contenteditable]';

/**
 * A switch that the server holds. What it is set to comes from there; pressing it, or the key, asks for the other.
 *
 * @param {HTMLButtonElement} button
 * @param {object} options
 * @param {string} options.url - takes `{"enabled": …}`
 * @param {string} options.key
 * @param {(reason: string) => void} options.onFailure - `''` when it works again
 * @returns {(enabled: boolean) => void} shows what it is set to
 */
export function connectSwitch(button, { url, key, onFailure }) {
  async function ask() {
    if (button.disabled || button.ariaBusy === 'true') return;
    button.ariaBusy = 'true';
    try {
      await post(url, { enabled: button.ariaChecked !== 'true' });
      onFailure('');
    } catch (error) {
      onFailure(error.message);
    } finally {
      button.ariaBusy = 'false';
    }
  }

  button.addEventListener('click', () => void ask());
  document.addEventListener('keydown', (event) => {
    if (
      event.key.toLowerCase() !== key ||
      event.repeat ||
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      event.target.closest?.(fields)
    )
      return;
    event.preventDefault();
    void ask();
  });
  return (enabled) => {
    button.disabled = false;
    button.ariaChecked = String(enabled);
    button.querySelector('.word').textContent = enabled ? 'On' : 'Off';
  };
}

async function post(url, body) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    // A browser opens six connections to a server over HTTP/1, and each stream of each tab keeps one.
    signal: AbortSignal.timeout(patience),
  });
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
}
