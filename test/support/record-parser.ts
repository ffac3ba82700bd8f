/** A strict reader of newline-delimited JSON: every line is one JSON text, and the last one is ended too. */
export function parseNdjson(text: string): unknown[] {
  if (text === '') return [];
  if (!text.endsWith('\n')) throw new Error('the last record is not ended');
  return text
    .slice(0, -1)
    .split('\n')
    .map((line) => {
      if (line.includes('\r')) throw new Error('a CR in a record');
      return JSON.parse(line) as unknown;
    });
}

/** A strict reader of JSON text sequences (RFC 7464 2.1): RS, one JSON text, LF; nothing between. */
export function parseJsonSeq(text: string): unknown[] {
  if (text === '') return [];
  const [before, ...records] = text.split('\u001e');
  if (before !== '') throw new Error('bytes before the first RS');
  return records.map((record) => {
    if (!record.endsWith('\n')) throw new Error('a record is truncated');
    return JSON.parse(record) as unknown;
  });
}
