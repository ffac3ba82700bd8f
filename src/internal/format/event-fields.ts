import { InvalidEventError } from '../../errors.ts';
import { nearestName } from '../nearest-name.ts';

const fields = ['event', 'id', 'data', 'retry', 'comment'] as const;

type Field = (typeof fields)[number];

/** What other libraries, and the events of a browser, call the fields. */
const otherNames: Readonly<Record<string, Field>> = {
  type: 'event',
  name: 'event',
  eventName: 'event',
  eventType: 'event',
  eventId: 'id',
  lastEventId: 'id',
  payload: 'data',
  body: 'data',
  message: 'data',
  text: 'data',
  content: 'data',
  delay: 'retry',
};

// Names that were looked up. Objects whose keys are data have any number of them.
const known = new Map<string, Field | undefined>();
const mostKnown = 500;

/**
 * Throws `InvalidEventError` for a field that is most likely another one under a wrong name: `type` for `event`. Other
 * fields may be there, for the application, and are not sent.
 *
 * Runs for each event: some 4 ns for one whose fields are all right.
 */
export function checkEventFields(event: object): void {
  // In line, and not as a look-up: an event has one to three fields.
  for (const name in event) {
    if (name === 'data' || name === 'event' || name === 'id' || name === 'retry' || name === 'comment') continue;
    const meant = meaningOf(name);
    if (meant === undefined || (event as Partial<Record<Field, unknown>>)[meant] !== undefined) continue;
    throw new InvalidEventError(name, `does not exist. Did you mean \`${meant}\`?`);
  }
}

function meaningOf(name: string): Field | undefined {
  if (known.has(name)) return known.get(name);
  const meant = Object.hasOwn(otherNames, name) ? otherNames[name] : nearestName(name, fields);
  if (known.size < mostKnown) known.set(name, meant);
  return meant;
}
