import { compresses, type Expect } from './compare.ts';
import { fieldOf, type Message } from './messages.ts';
import type { Scenario } from './script.ts';
import type { Dressing } from './site.ts';

/** Fields that `compress` may change. */
export const touched: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-length',
  'transfer-encoding',
  'vary',
  'etag',
  'accept-ranges',
]);

/**
 * Node does not show the length that it gives a body which comes whole: where layers look at the head first it has to
 * be
 * set, and can be seen. `Vary` stays where a head is refused below.
 */
export const touchedAlways: ReadonlySet<string> = new Set(['content-length', 'vary']);

/** A message, as far as it says what may become of its fields. */
interface Change {
  readonly scenario: Scenario;
  readonly bare: Message;
  readonly dressed: Message;
  readonly isCoded: boolean;
}

/** Whether a message has another coding than the bare one. */
export function isCodedAnew(bare: Message | undefined, dressed: Message | undefined): boolean {
  const coding = (message: Message): string | undefined => fieldOf(message, 'content-encoding');
  return bare !== undefined && dressed !== undefined && coding(dressed) !== coding(bare);
}

/** Compares the fields of a message. */
export function compareFields(
  { scenario, dressing }: { scenario: Scenario; dressing: Dressing },
  bare: Message,
  dressed: Message,
  expect: Expect,
): void {
  const names = new Set([...bare.fields, ...dressed.fields].map(([name]) => name));
  const change: Change = { scenario, bare, dressed, isCoded: isCodedAnew(bare, dressed) };
  for (const name of names) {
    const [left, right] = [valuesOf(bare, name), valuesOf(dressed, name)];
    if (left.join('\n') === right.join('\n')) continue;
    // Several lines are one list (RFC 9110 5.3).
    const isAllowed = compresses(dressing) && mayDiffer(name.toLowerCase(), left.join(', '), right.join(', '), change);
    if (!isAllowed) expect(`field ${name}`, left.join(' & '), right.join(' & '));
  }
}

function valuesOf(message: Message, name: string): string[] {
  return message.fields.filter(([each]) => each === name).map(([, value]) => latin(value));
}

/** Node sends a head in the encoding of the text behind it: what is not ASCII comes as Latin-1, or as UTF-8. */
export function latin(text: string): string {
  const decoded = Buffer.from(text, 'latin1').toString();
  return decoded.includes('\ufffd') ? text : decoded;
}

/** What `compress` may do to a field. */
function mayDiffer(name: string, left: string, right: string, change: Change): boolean {
  const { scenario, isCoded } = change;
  // Of the GET that it stands for neither length nor coding are known.
  const isHead = scenario.method === 'HEAD';
  switch (name) {
    case 'vary': {
      // To name another field beside a star means nothing.
      if (right === left || (right === '*' && left.includes('*'))) return true;
      return right === (left === '' ? 'Accept-Encoding' : `${left}, Accept-Encoding`);
    }
    case 'content-encoding':
      return (left === '' || left === 'identity') && scenario.accepts.includes(right) && mayHaveCoding(change);
    case 'content-length':
    case 'transfer-encoding':
      return isCoded || isHead;
    case 'etag': {
      const isTagged = isCoded || isHead || hasStatus(change.dressed, '304');
      return isTagged && (right === left || right === `W/${left}` || (isHead && right === ''));
    }
    case 'accept-ranges':
      return (isCoded || isHead) && right === '';
    case 'connection':
    case 'keep-alive':
      // Node keeps a connection of HTTP/1.0 open behind a length, which a body that is encoded whole has.
      return isCoded && scenario.version === '1.0' && scenario.connection === 'keep-alive';
    default:
      return false;
  }
}

/** Whether there is a body to encode, or was not known to be none when the head went out. */
function mayHaveCoding({ scenario, bare, dressed }: Change): boolean {
  const hasNone = ['204', '205', '206', '304'].some((status) => hasStatus(dressed, status));
  // An event stream is taken for one whatever it announces.
  const isStream = fieldOf(bare, 'content-type')?.startsWith('text/event-stream') === true;
  return !hasNone && scenario.method !== 'HEAD' && (isStream || fieldOf(bare, 'content-length') !== '0');
}

function hasStatus({ statusLine }: Message, status: string): boolean {
  return statusLine === status || statusLine.split(' ')[1] === status;
}
