// @ts-check
import { EventEmitter, on } from 'node:events';
import { createServer } from 'node:http';
import express from 'express';
import { compress, heartbeat, lifecycle, sse, watchWebSockets } from 'sluice';
import { Server } from 'socket.io';

const app = express();
const server = createServer(app);
const io = new Server(server);
// Short, to try it out: behind a load balancer the defaults fit.
const life = lifecycle({ preDrain: 0, spread: '1s' });
const beat = heartbeat();

app.use(life);
app.use(beat);
app.use(compress());
app.get('/connections', (_req, res) => void res.json(beat.registry.stats()));
// Event streams beside the sockets: the same messages for clients that only read.
app.get(
  '/chat',
  sse(
    async function* ({ signal }) {
      yield 'hello';
      for await (const [text] of on(chat, 'text', { signal })) yield text;
    },
    { drain: 'resumable' },
  ),
);

const chat = new EventEmitter().setMaxListeners(0);
chat.on('text', (text) => io.emit('chat', text));
io.on('connection', (socket) => socket.on('chat', (text) => chat.emit('text', text)));

// All clients in one registry, and one shutdown: sockets are closed so that they reconnect by themselves.
watchWebSockets(io, { registry: beat.registry });
life.attach(server);
life.attach(io);
server.listen(process.env['PORT'] ?? 3000, () => {
  const address = server.address();
  if (typeof address === 'object') console.log(`http://localhost:${address?.port}`);
});
