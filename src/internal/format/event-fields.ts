import { InvalidEventError } from '../../errors.ts';

const fields = ['event', 'id', 'data', 'retry', 'comment'] as const;

type Field = (typeof fields)[number];

/** What other libraries, and the events of a browser, call the fields. */
const otherNames: Readonly<Record<string, Field>> = {
  type: 'event',
  eventName: 'event',
  eventType: 'event',
  eventId: 'id',
  lastEventId: 'id',
  payload: 'data',
  body: 'data',
  message: 'data',
  text: 'data',
  content: 'data',
};

// Names that were looked up. Objects whose keys are data have any number of them.
const known = new Map<string, Field | undefined>();
const mostKnown = 500;

/**
 * Throws `InvalidEventError` for a field that is most likely another one under a wrong name: `type` for `event`, `dta`
 * for `data`. Other fields may be there, for the application, and are not sent: so a doubt is no error.
 *
 * Runs for each event: some 4 ns for one whose fields are all right.
 */
export function checkEventFields(event: object): void {
  // In line, and not as a look-up: an event has one to three fields.
  for (const name in event) {
    if (name === 'data' || name === 'event' || name === 'id' || name === 'retry' || name === 'comment') continue;
    const meant = meaningOf(name);
    if (meant === undefined || meant in event || !Object.hasOwn(event, name)) continue;
    if (isMeant(meant, (event as Record<string, unknown>)[name]))
      throw new InvalidEventError(name, `does not exist. Did you mean \`${meant}\`?`);
  }
}

/** Whether a value could be that of the field. An event without `data` may have it under any name. */
function isMeant(field: Field, value: unknown): boolean {
  if (field === 'data') return value !== undefined;
  return field === 'retry' ? typeof value === 'number' : typeof value === 'string';
}

function meaningOf(name: string): Field | undefined {
  if (known.has(name)) return known.get(name);
  const meant = Object.hasOwn(otherNames, name) ? otherNames[name] : fields.find((field) => isSlip(name, field));
  if (known.size < mostKnown) known.set(name, meant);
  return meant;
}

/**
 * Whether a name is a field in another case, with a letter left out, or with two neighbours swapped. Not one with other
 * letters: `date` and `events` are words of their own.
 */
function isSlip(name: string, field: Field): boolean {
  const word = name.toLowerCase();
  if (word === field) return true;
  if (field.length < 4 || word.length > field.length) return false;
  let at = 0;
  while (word[at] === field[at]) at += 1;
  if (word.length === field.length)
    return word[at] === field[at + 1] && word[at + 1] === field[at] && word.slice(at + 2) === field.slice(at + 2);
  return word.length === field.length - 1 && word.slice(at) === field.slice(at + 1);
}
