import { STATUS_CODES } from 'node:http';
import { DeadlineExceededError, IdleTimeoutError } from '../errors.ts';
import { answer, forbidCaching } from '../internal/writer/answer.ts';
import { isThenable } from '../internal/deferred.ts';
import { reportError } from '../internal/events.ts';
import { endsIn } from '../internal/seam/ends-in.ts';
import { type HttpRequest, type HttpResponse, isGone } from '../internal/http/message.ts';
import { abortResponse } from '../internal/seam/closing.ts';
import { announceClose } from '../internal/writer/refusal.ts';
import { openSeam } from '../internal/seam/response.ts';
import { streamOf } from '../internal/writer/stream.ts';
import { decideExpiry, type ExpiryOutcome } from './policy/decide.ts';
import type { ResolvedDeadlineOptions } from './options.ts';
import { deadlineEvents } from './events.ts';

/** What an expiry needs. */
export interface ExpiryInput {
  readonly req: HttpRequest;
  readonly res: HttpResponse;
  readonly options: ResolvedDeadlineOptions;
  /** Called for each late call of the handler. */
  readonly onLate: () => void;
}

const settled = new WeakSet<HttpResponse>();

/** Called when the context of a request aborts, for any reason. */
export function settleExpiry(input: ExpiryInput, reason: unknown): void {
  // Code that aborts it for another reason answers too. Of nested deadlines both expire.
  const isExpiry = reason instanceof DeadlineExceededError || reason instanceof IdleTimeoutError;
  if (!isExpiry || settled.has(input.res)) return;
  const outcome = settle(input, reason);
  if (outcome === 'nothing') return;
  deadlineEvents.expired.publish({ req: input.req, reason, outcome });
  // A stream still writes by the methods of the response.
  if (outcome !== 'stream') ignoreLateCalls(input, reason);
}

/** Ends the response. An error of a patched method has no caller here. */
function settle(input: ExpiryInput, reason: Error): ExpiryOutcome {
  const { req, res } = input;
  try {
    const { writableEnded: ended, headersSent } = res;
    const outcome = decideExpiry({ gone: isGone(res), ended, headersSent, streamed: streamOf(res) !== undefined });
    if (outcome !== 'nothing') settled.add(res);
    if (outcome === 'answer') answerExpired(input, reason);
    else if (outcome === 'cut') abortResponse(res);
    return outcome;
  } catch (error) {
    reportError(req, error);
    abortResponse(res);
    return 'cut';
  }
}

function ignoreLateCalls({ req, res, onLate }: ExpiryInput, reason: Error): void {
  openSeam(res).detach(reason, (method) => {
    onLate();
    deadlineEvents.late.publish({ req, method });
  });
}

function answerExpired(input: ExpiryInput, reason: Error): void {
  const {
    res,
    options: { status },
  } = input;
  // The request may not be read to its end, and its handler may still read it: an error there would end the connection.
  announceClose(res);
  // Before `onExpired`, which may set another.
  forbidCaching(res);
  if (reason instanceof DeadlineExceededError && answersItself(input, reason)) return;
  if (!res.headersSent) answer(res, { status, text: `${STATUS_CODES[status] ?? String(status)}\n` });
  else if (!res.writableEnded) abortResponse(res);
}

function answersItself({ req, res, options }: ExpiryInput, reason: DeadlineExceededError): boolean {
  if (!options.onExpired) return false;
  return endsIn(res, () => {
    try {
      const result = options.onExpired?.(reason, req, res);
      // An async function can throw too.
      if (isThenable(result)) result.then(undefined, (error: unknown) => reportError(req, error));
    } catch (error) {
      reportError(req, error);
    }
  });
}
