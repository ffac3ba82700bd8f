import type { ServerResponse } from 'node:http';
import { type HttpResponse, isGone } from '../../internal/http/message.ts';
import { answer } from '../../internal/writer/answer.ts';
import type { Refusal } from './policy/access.ts';

// Everything that the page loads comes from here. No other page may show it in a frame, or read it.
const headers = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Cross-Origin-Resource-Policy': 'same-origin',
  // With `no-referrer` some browsers hide the origin of the page's own requests.
  'Referrer-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
};

/** Sets the headers that every answer of the dashboard has, over those of the application. */
export function setSecurityHeaders(res: HttpResponse): void {
  for (const [name, value] of Object.entries(headers)) (res as ServerResponse).setHeader(name, value);
}

/** Answers with JSON, unless the client has left. */
export function sendJson(res: HttpResponse, status: number, value: unknown): void {
  if (isGone(res)) return;
  answer(res, { status, text: JSON.stringify(value, writeInfinity), contentType: 'application/json' });
}

// The last bound of a histogram, as Prometheus writes it. JSON has no word for it.
function writeInfinity(_key: string, value: unknown): unknown {
  return value === Infinity ? '+Inf' : value;
}

/** Says why a request is not answered as it wishes. */
export function sendRefusal(res: HttpResponse, { status, code, message, allow }: Refusal): void {
  if (isGone(res)) return;
  if (allow !== undefined) (res as ServerResponse).setHeader('Allow', allow);
  sendJson(res, status, { code, message });
}
