/** Makes the card of something that has a state. Fill it in with `fillCard`. */
export function makeCard(tag = 'li') {
  const [title, badge] = [make('h3'), make('span')];
  badge.className = 'badge';
  const card = make(tag, make('div', title, badge), make('dl'));
  card.classList.add('card');
  card.firstChild.className = 'title';
  return card;
}

export function fillCard(card, { title, state, badge, facts }) {
  card.dataset.state = state;
  setText(card.querySelector('h3'), title);
  const label = card.querySelector('.badge');
  label.dataset.state = state;
  setText(label, badge);
  const list = card.querySelector('dl');
  for (const [name, value] of Object.entries(facts)) {
    const found = list.querySelector(`[data-fact="${name}"]`);
    if (found) {
      setText(found, String(value));
      continue;
    }
    const item = make('dd', String(value));
    item.dataset.fact = name;
    list.append(make('div', make('dt', name), item));
  }
}

/** Text that is selected, or read aloud, is left alone where it stays the same. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function make(tag, ...children) {
  const element = document.createElement(tag);
  element.append(...children);
  return element;
}

const kept = 100;

/** Adds a line to what happened. */
export function note(text) {
  const log = document.getElementById('log');
  const time = make('time', new Date().toLocaleTimeString());
  log.prepend(make('li', time, ' ', text));
  while (log.children.length > kept) log.lastChild.remove();
}
