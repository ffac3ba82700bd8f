import { InvalidOptionError } from '../../errors.ts';
import type { HttpRequest, HttpResponse, Next } from '../../internal/http/message.ts';
import type { StreamMiddleware } from '../../internal/writer/handler.ts';
import { type Channels, LocalChannels } from '../family/family.ts';
import { failRequest } from '../subscribe.ts';
import { Answers } from './answers.ts';
import { resolveResumableOptions, type ResumableOptions } from './options.ts';

/** The handlers that `resumable` makes. */
export interface Resumable {
  /**
   * Begins an answer, and sends it: `app.post('/chat', chat.start)`. Joins the one that goes on for the same key, if
   * there is one.
   */
  readonly start: StreamMiddleware;
  /**
   * Sends the last answer of a key, from the start or behind the `Last-Event-ID`: `app.get('/chat/:id/stream',
   * chat.resume)`. 204: there is none.
   */
  readonly resume: StreamMiddleware;
  /**
   * Stops an answer, on any process: `app.delete('/chat/:id', chat.cancel)`. 204: it has ended. 404: there is none.
   * 202: it was told, and takes longer.
   */
  readonly cancel: StreamMiddleware;
}

// Of what says which run is the current one.
const leastBytes = 1024;

/**
 * Makes answers that go on without their clients: of language models, reports, jobs. Any tab, and any process with the
 * same backplane, sends the answer from where its client stopped; one produces it. Throws `InvalidOptionError`.
 * @param rooms - a family of their own: what `createChannels` made
 */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a family of any map
export function resumable(rooms: Channels<any>, options: ResumableOptions): Resumable {
  if (!(rooms instanceof LocalChannels))
    throw new InvalidOptionError('resumable.rooms', 'what `createChannels` returns', rooms);
  const { history } = rooms.options.channel;
  if (history.count < 1 || history.bytes < leastBytes)
    throw new InvalidOptionError('resumable.rooms', { sentence: 'has no `history`, which the answers need.' });
  const answers = new Answers(rooms as LocalChannels<object>, resolveResumableOptions(options));
  type Serve = (req: HttpRequest, res: HttpResponse, next?: Next) => Promise<void>;
  const handler = (serve: Serve): StreamMiddleware =>
    function resumable(req: HttpRequest, res: HttpResponse, next?: Next): void {
      serve(req, res, next).catch((error: unknown) => failRequest(error, req, res, next));
    };
  return {
    start: handler((req, res, next) => answers.start(req, res, next)),
    resume: handler((req, res, next) => answers.resume(req, res, next)),
    cancel: handler((req, res, next) => answers.cancel(req, res, next)),
  };
}
