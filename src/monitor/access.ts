import { type HttpRequest, type HttpResponse, isGone, type Next } from '../internal/http/message.ts';
import { answer } from '../internal/writer/answer.ts';
import { refuseWhen } from '../internal/option.ts';
import { monitorErrors } from './events.ts';
import type { ResolvedMonitorOptions } from './options.ts';

/** Whether a request may see the numbers. What `authorize` throws means no, and is published. */
export async function isAuthorized({ authorize }: ResolvedMonitorOptions, req: HttpRequest): Promise<boolean> {
  if (!authorize) return false;
  try {
    return (await authorize(req as Parameters<typeof authorize>[0])) === true;
  } catch (error) {
    monitorErrors.report({ error, req });
    return false;
  }
}

/** Answers a request that may not see the numbers. */
export function refuse({ authorize }: ResolvedMonitorOptions, res: HttpResponse): void {
  answer(res, { status: 403, text: authorize ? 'Forbidden' : `Forbidden. ${unguarded}` });
}

/** A handler of the monitor, to be mounted. */
export type Handler = (req: HttpRequest, res: HttpResponse, next?: Next) => void;

/**
 * Makes a handler. It throws `InvalidOptionError` where it is called in place of mounted. What `serve` rejects with
 * goes to `next`; without one it is published and answered 500.
 */
export function makeHandler(
  name: 'metrics' | 'dashboard',
  serve: (req: HttpRequest, res: HttpResponse) => Promise<void>,
): Handler {
  return function handler(req, res, next) {
    refuseWhen(
      !(res as HttpResponse | undefined),
      `monitor.${name}`,
      `is a handler: pass \`watch.${name}\`, without a call`,
    );
    serve(req, res).catch((error: unknown) => {
      if (next) {
        next(error);
        return;
      }
      monitorErrors.report({ error, req });
      if (!res.headersSent && !isGone(res)) answer(res, { status: 500, text: 'Internal Server Error' });
    });
  };
}

/** Why nothing is served without `authorize`. */
export const unguarded = 'The option `authorize` of `monitor` is missing.';
