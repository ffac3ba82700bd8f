import { UnproxiableRequestError } from '../../errors.ts';
import { answer } from '../../internal/writer/answer.ts';
import type { ResolvedProxyOptions } from '../options.ts';
import { countsHops, decideHop, reflect } from '../policy/last-hop.ts';
import { answerFailure, type Incoming } from './failure-answer.ts';
import { clientHeaders } from './request-headers.ts';

/** Answers a request that ends at this hop: `Max-Forwards: 0`, `OPTIONS *`. Returns whether it did. */
export function answerAtLastHop(options: ResolvedProxyOptions, incoming: Incoming): boolean {
  const { req, res } = incoming;
  const { method } = req;
  if (!countsHops(method)) return false;
  const headers = clientHeaders(req);
  const decision = decideHop(method, req.url ?? '', headers.getAll('max-forwards'));
  if (decision.kind === 'pass') return false;
  if (decision.kind === 'refused') {
    answerFailure(options, incoming, new UnproxiableRequestError(decision.why));
  } else if (method === 'TRACE') {
    const { originalUrl = req.url ?? '' } = req as { originalUrl?: string };
    const requestLine = `TRACE ${originalUrl} HTTP/${req.httpVersionMajor}.${req.httpVersionMinor}`;
    answer(res, { status: 200, text: reflect(requestLine, headers), contentType: 'message/http' });
  } else {
    answer(res, { status: 204 });
  }
  return true;
}
