// An instance of a service with answers over Redis, in a process of its own. Started by test/redis/resumable.test.ts,
// which says what the generator does, and gets what `onEnd` gets.
import { once } from 'node:events';
import express from 'express';
import { createChannels, mergeDeltas, redisBackplane, resumable } from 'sluice';

const rooms = createChannels({ backplane: redisBackplane({ url: process.argv[2] }) });

/** What is left to do, by key. `null`: it returns. @type {Map<string, (string | null)[]>} */
const left = new Map();
const chat = resumable(rooms, {
  key: (req) => req.params.id,
  async *run({ key, signal }) {
    process.send?.({ event: 'begun', key });
    while (!signal.aborted) {
      const step = left.get(key)?.shift();
      if (step === null) return { tokens: 7 };
      if (step === undefined) await once(process, 'message', { signal }).catch(() => undefined);
      else yield step;
    }
    return { tokens: 1 };
  },
  coalesce: mergeDeltas({ ms: 5 }),
  lease: 2500,
  onEnd: async ({ key, status, value, events }) => {
    const text = (await events()).map(({ data }) => data).join('');
    process.send?.({ event: 'end', key, status, value, text });
  },
});

process.on('message', (/** @type {{ key: string, steps: (string | null)[] }} */ { key, steps }) => {
  left.set(key, [...(left.get(key) ?? []), ...steps]);
});
process.on('disconnect', () => process.exit());

const app = express();
app.post('/chat/:id', chat.start);
app.get('/chat/:id', chat.resume);
app.delete('/chat/:id', chat.cancel);
const server = app.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.send?.({ event: 'ready', port: typeof address === 'object' ? address?.port : 0 });
});
