import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { InMemoryEventStore } from '@modelcontextprotocol/sdk/examples/shared/inMemoryEventStore.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { LoggingMessageNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import express from 'express';
import { expect, it, onTestFinished } from 'vitest';
import { type DrainReport, heartbeat, type HeartbeatOptions } from '../../src/index.ts';
import { listen } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { settles, until } from '../support/until.ts';
import { makeLife } from './support.ts';

interface Site {
  readonly client: Client;
  /** What the GET stream has brought. */
  readonly notes: unknown[];
  /** Calls of the tool so far. */
  readonly calls: () => number;
  notify(): Promise<void>;
  answer(): void;
  readonly isListening: () => boolean;
  drain(): Promise<DrainReport>;
}

/** A server of the SDK with one tool, and a client whose GET stream is open. */
async function open(options: HeartbeatOptions, isResumable: boolean): Promise<Site> {
  const life = makeLife();
  const gate = deferred();
  let calls = 0;
  const mcp = new McpServer({ name: 'site', version: '1.0.0' }, { capabilities: { logging: {} } });
  mcp.registerTool('slow', {}, async () => {
    calls += 1;
    await gate.promise;
    return { content: [{ type: 'text', text: 'done' }] };
  });
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: () => randomUUID(),
    ...(isResumable && { eventStore: new InMemoryEventStore() }),
  });
  await mcp.connect(transport as never);
  let streams = 0;
  const app = express();
  app.use(life, heartbeat({ every: '1h', ...options }), express.json());
  app.all('/mcp', (req, res) => {
    if (req.method === 'GET') streams += 1;
    void transport.handleRequest(req, res, req.body);
  });
  const server = http.createServer(app);
  const running = await listen(server);
  onTestFinished(() => running.close());
  onTestFinished(life.attach(server));
  const client = new Client({ name: 'client', version: '1.0.0' });
  const notes: unknown[] = [];
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => void notes.push(params.data));
  await client.connect(new StreamableHTTPClientTransport(new URL(`${running.origin}/mcp`)) as never);
  onTestFinished(() => client.close());
  await until(() => streams > 0);
  return {
    client,
    notes,
    calls: () => calls,
    notify: () => mcp.server.sendLoggingMessage({ level: 'info', data: 'note' }),
    answer: () => gate.resolve(),
    isListening: () => server.listening,
    drain: () => life.drain(),
  };
}

it('the GET stream of the MCP SDK that has sent an id is told to come back, while a tool answers', async () => {
  const site = await open({}, true);
  await site.notify();
  await until(() => site.notes.length > 0);
  const answered = site.client.callTool({ name: 'slow' });
  await until(() => site.calls() > 0);
  const drained = site.drain();
  await until(() => !site.isListening());
  site.answer();
  expect(await settles(answered)).toMatchObject({ content: [{ text: 'done' }] });
  expect(await settles(drained)).toMatchObject({
    told: { streams: 1 },
    finished: { streams: 1 },
    cut: { requests: 0, streams: 0 },
    reason: 'complete',
  });
});

it('that without ids is told where the option says so', async () => {
  const site = await open({ drain: 'resumable' }, false);
  expect(await settles(site.drain())).toMatchObject({
    told: { streams: 1 },
    cut: { requests: 0, streams: 0 },
    reason: 'complete',
  });
});
