import replyFrom from '@fastify/reply-from';
import Fastify from 'fastify';
import { serve } from '../serve.js';

serve(undefined, async (target, front) => {
  const app = Fastify(front === 'h2c' ? { http2: true } : {});
  // As @fastify/http-proxy does: bodies go on as they come.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  await app.register(replyFrom, { base: target });
  app.all('/*', (request, reply) => reply.from(request.raw.url));
  await app.listen({ port: 0, host: '127.0.0.1' });
  return { server: app.server, close: () => app.close() };
});
