// A service made of all parts, and a client that tries it. Each part is a module, however it was loaded: parts that
// were loaded in different ways still have to know of each other.
const assert = require('node:assert');
const { once } = require('node:events');
const { createServer } = require('node:http');

/**
 * @typedef {object} Parts
 * @property {typeof import('sluice')} sluice
 * @property {typeof import('sluice/body')} body
 * @property {typeof import('sluice/channel')} channel
 * @property {typeof import('sluice/compress')} compress
 * @property {typeof import('sluice/conformance')} conformance
 * @property {typeof import('sluice/deadline')} deadline
 * @property {typeof import('sluice/heartbeat')} heartbeat
 * @property {typeof import('sluice/lifecycle')} lifecycle
 * @property {typeof import('sluice/monitor')} monitor
 * @property {typeof import('sluice/proxy')} proxy
 * @property {typeof import('sluice/records')} records
 * @property {typeof import('sluice/redis')} redis
 * @property {typeof import('sluice/sse')} sse
 */

/** @param {Parts} parts */
module.exports = async function tryService(parts) {
  const { sluice, body, channel, compress, deadline, heartbeat, lifecycle, monitor, proxy, records, sse } = parts;
  for (const { run } of parts.conformance.backplaneChecks(() => channel.createMemoryBackplane()).slice(0, 5))
    await run();
  // It connects when it is used.
  await parts.redis.redisBackplane({ url: 'redis://127.0.0.1:9' }).close();
  const life = lifecycle.lifecycle({ signals: false, preDrain: 0, spread: 0 });
  const beats = heartbeat.heartbeat();
  const watch = monitor.monitor({ registry: beats.registry, lifecycle: life });
  const ticks = channel.createChannel({ name: 'ticks' });
  await ticks.publish({ event: 'tick', data: { n: 1 } });
  await ticks.end();
  const rooms = channel.createChannels({ ttl: '1m' });
  await rooms.publish(['a', 'b'], 'hello');
  const answers = channel.createChannels({ name: 'answers' });
  const answer = channel.resumable(answers, { key: () => 'a', run: () => ['a', 'b'], coalesce: channel.mergeDeltas() });
  rooms.close();
  /** @type {unknown} */
  let late;
  /** @type {Record<string, import('node:http').RequestListener>} */
  const routes = {
    '/events': sse.sse(async (stream) => {
      await stream.send({ event: 'tick', id: '1', data: { n: 1 } });
      await stream.end();
      late = await stream.send('too late').catch((/** @type {unknown} */ error) => error);
    }),
    '/endless': sse.sse((stream) => void stream.send({ id: '1', data: 'hello' })),
    '/ticks': ticks.subscribe({ from: 'earliest' }),
    '/answer': answer.start,
    '/rows': records.ndjson(async function* (_stream, req) {
      yield { hasDeadline: Number.isFinite(sluice.contextOf(req).remaining()) };
    }),
    '/body': (req, res) => void body.pipeBody(['a'.repeat(5000)], req, res),
  };
  const middlewares = [watch, life, deadline.deadline({ default: '30s' }), beats, compress.compress()];
  const server = createServer((req, res) => {
    const handler = middlewares.reduceRight(
      (next, middleware) => () => middleware(req, res, next),
      () => routes[/** @type {string} */ (req.url)]?.(req, res),
    );
    handler();
  });
  life.attach(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const get = (/** @type {string} */ path) => fetch(`http://127.0.0.1:${port}${path}`);

  const events = await get('/events');
  assert.strictEqual(events.headers.get('content-encoding'), 'gzip');
  assert.match(await events.text(), /^event: tick\nid: 1\ndata: \{"n":1\}\n\n$/m);
  assert.ok(late instanceof sluice.StreamClosedError, 'the error of a late send is of another copy');
  assert.match(await (await get('/ticks')).text(), /^id: \S+-1\nevent: tick\ndata: \{"n":1\}\n\n/m);
  assert.match(await (await get('/answer')).text(), /^data: ab\n\nid: \S+\nevent: sluice\.end\n/m);
  answers.close();
  assert.strictEqual(await (await get('/rows')).text(), '{"hasDeadline":true}\n');
  const file = await get('/body');
  assert.strictEqual(file.headers.get('content-encoding'), null); // no Content-Type
  assert.strictEqual((await file.text()).length, 5000);

  // Or more: another service may run in this process.
  assert.ok((watch.snapshot().streams.ended['ended'] ?? 0) >= 2, 'the monitor does not hear of streams');
  assert.ok((watch.snapshot().bytes['gzip']?.in ?? 0) > 0, 'the monitor does not hear of compress');

  const passOn = proxy.proxy({ target: `http://127.0.0.1:${port}` });
  const gateway = createServer(passOn);
  gateway.listen(0, '127.0.0.1');
  await once(gateway, 'listening');
  const { port: front } = /** @type {import('node:net').AddressInfo} */ (gateway.address());
  const passed = await fetch(`http://127.0.0.1:${front}/rows`, { headers: { Connection: 'close' } });
  assert.strictEqual(passed.status, 200);
  assert.strictEqual(await passed.text(), '{"hasDeadline":true}\n');
  await passOn.close();
  gateway.closeAllConnections();
  gateway.close();

  const endless = await get('/endless');
  assert.ok(endless.body);
  await endless.body.getReader().read();
  const report = await life.drain();
  assert.strictEqual(report.told.streams, 1, 'the drain does not know of the stream');
  assert.strictEqual(report.forced, false);
  watch.close();
};
