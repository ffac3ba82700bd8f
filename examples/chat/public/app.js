const query = new URLSearchParams(location.search);
const user = query.get('user') ?? '';
const room = query.get('room') ?? 'lobby';
const $ = (id) => document.getElementById(id);

// What the page shows, and the id up to which it does: a reload shows it again and asks for the rest.
const store = `chat ${user} ${room}`;
const view = JSON.parse(sessionStorage.getItem(store)) ?? { lastId: '', messages: [], users: [] };
const kept = 200;
const reopenDelay = 3_000;

function connect() {
  const address = new URLSearchParams({ user, room });
  if (view.lastId !== '') address.set('lastEventId', view.lastId);
  const source = new EventSource(`/events?${address}`);
  const on = (name, take) =>
    source.addEventListener(name, (event) => {
      take(JSON.parse(event.data));
      view.lastId = event.lastEventId;
      sessionStorage.setItem(store, JSON.stringify(view));
    });
  on('message', (message) => {
    // Those of a room and private ones come one after the other where several were missed.
    view.messages = [...view.messages, message].sort((one, other) => one.at - other.at).slice(-kept);
    if (view.messages.at(-1) === message) showMessage(message);
    else showAll();
  });
  on('presence', ({ users }) => {
    view.users = users;
    showUsers();
  });
  // Some messages are lost, such as those of an earlier process. All that the server has come next.
  on('sluice.reset', ({ key = '' }) => {
    view.messages = view.messages.filter((message) => key !== '' && keyOf(message) !== key);
    showAll();
  });
  source.addEventListener('open', () => showState('live', 'Live'));
  source.addEventListener('error', () => {
    showState('lost', 'Reconnecting');
    // An EventSource comes back by itself, with its last id. Only after an answer that is not 200 it gives up.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, reopenDelay);
  });
}

/** The channel that a message came from. */
function keyOf(message) {
  return message.to === undefined ? `room:${message.room}` : `user:${user}`;
}

function showState(state, text) {
  $('state').dataset.state = state;
  $('state').textContent = text;
}

function showAll() {
  $('messages').replaceChildren();
  view.messages.forEach(showMessage);
}

function showMessage({ from, to, text, at }) {
  const [list, log] = [$('messages'), $('log')];
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const time = make('time', new Date(at).toLocaleTimeString([], { timeStyle: 'short' }));
  time.dateTime = new Date(at).toISOString();
  const item = make(
    'li',
    time,
    ' ',
    make('strong', to === undefined ? from : `${from} to ${to}`),
    ' ',
    make('span', text),
  );
  item.classList.toggle('private', to !== undefined);
  list.append(item);
  while (list.children.length > kept) list.firstChild.remove();
  if (isAtEnd) log.scrollTop = log.scrollHeight;
}

function showUsers() {
  $('users').replaceChildren(...view.users.map((name) => make('li', name === user ? `${name} (you)` : name)));
  // A user who has left stays chosen: the message waits in the channel of that user.
  const chosen = $('to').value;
  const names = new Set([...view.users, ...(chosen ? [chosen] : [])]);
  names.delete(user);
  $('to').replaceChildren(new Option(`all in ${room}`, ''), ...Array.from(names, (name) => new Option(name, name)));
  $('to').value = chosen;
}

function make(tag, ...children) {
  const element = document.createElement(tag);
  element.append(...children);
  return element;
}

async function send(event) {
  event.preventDefault();
  const to = $('to').value;
  const text = $('text').value;
  try {
    const response = await fetch(`/messages?${new URLSearchParams({ user })}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ text, ...(to === '' ? { room } : { to }) }),
    });
    $('failure').textContent = response.ok ? '' : (await response.json()).error;
    if (response.ok && $('text').value === text) $('text').value = '';
  } catch {
    $('failure').textContent = 'The server does not answer. The message was not sent.';
  }
}

async function showRooms() {
  const response = await fetch(`/rooms?${new URLSearchParams({ user })}`);
  if (!response.ok) return;
  const links = (await response.json()).map((name) => {
    const link = make('a', name);
    link.href = `?${new URLSearchParams({ user, room: name })}`;
    if (name === room) link.ariaCurrent = 'page';
    return link;
  });
  $('rooms').replaceChildren(...links);
}

if (user !== '') {
  $('enter').hidden = true;
  $('chat').hidden = false;
  $('room').textContent = room;
  $('send').addEventListener('submit', send);
  showAll();
  showUsers();
  void showRooms();
  connect();
  $('text').focus();
}
