import { createCipheriv } from 'node:crypto';

let written = '';

/** Text that compresses well, and in which no part is like another. */
export function prose(length: number): string {
  if (written.length < length) written = write(length);
  return written.slice(0, length);
}

function write(length: number): string {
  const lines: string[] = [];
  for (let total = 0, line = 0; total < length; line++) {
    const text = `${line}: the price of instrument SLC-${(line * 7919) % 9001} was ${(10_000 + ((line * 104_729) % 9000)) / 100} €, ${line % 3 ? 'bid' : 'ask'}; `;
    lines.push(text);
    total += text.length;
  }
  return lines.join('');
}

const key = Buffer.alloc(16);

/** Text that does not compress below 3/4. The same for the same seed. */
export function noise(length: number, seed = 0): string {
  const start = Buffer.alloc(16);
  start.writeUInt32BE(seed, 0);
  return createCipheriv('aes-128-ctr', key, start).update(Buffer.alloc(length)).toString('base64').slice(0, length);
}
