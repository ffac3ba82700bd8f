import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { bodyStyles } from '../../support/bodies.ts';
import { carriers } from '../../support/carriers.ts';
import { useSite } from '../../support/compress-site.ts';
import { allCodings } from '../../support/decoders.ts';
import { deferred } from '../../support/deferred.ts';
import { noise, prose } from '../../support/texts.ts';
import { settles, until } from '../../support/until.ts';

const file = fileURLToPath(new URL('../../../package.json', import.meta.url));

describe.each(carriers)('on $name', (carrier) => {
  // As an application has it, without an option.
  const site = useSite(carrier, undefined);
  const protocol = carrier.protocol === 'http2' ? 'HTTP/2' : 'HTTP/1.1';

  it.each(allCodings.flatMap((coding) => bodyStyles.map((style) => [coding, style.name, style] as const)))(
    '%s of %s arrives piece by piece and whole',
    async (coding, _name, style) => {
      const gate = deferred();
      const pieces = [`first, ${prose(500)}`, noise(70_000), 'last'];
      async function* source(): AsyncGenerator<string> {
        yield pieces[0]!;
        await gate.promise;
        yield* pieces.slice(1);
      }
      const reading = await site.visit(style.send(source()), protocol, { accept: coding });
      await until(() => reading.text === style.expected(pieces.slice(0, 1)));
      gate.resolve();
      expect(await settles(reading.over)).toBe('end');
      expect(reading.coding).toBe(coding);
      expect(reading.decode() === style.expected(pieces)).toBe(true);
      expect(site.running.errors).toEqual([]);
    },
  );

  it.each(allCodings)('%s of complete bodies arrives, of all sizes', async (coding) => {
    for (const size of [1024, 5000, 31_000, 33_000, 200_000]) {
      const body = prose(size);
      const reading = await site.visit(
        (_req, response) => {
          const res = response as ServerResponse;
          res.setHeader('Content-Type', 'application/json');
          res.end(body);
        },
        protocol,
        { accept: coding },
      );
      expect(await settles(reading.over)).toBe('end');
      expect([size, reading.coding, reading.decode() === body]).toEqual([size, coding, true]);
    }
  });
});

describe.each(carriers.filter(({ name }) => name.startsWith('Express')))('on $name', (carrier) => {
  const site = useSite(carrier, undefined);

  it.each(allCodings)('%s of res.json, res.send and res.sendFile arrives', async (coding) => {
    const answers: [
      string,
      (res: Record<'json' | 'send' | 'sendFile', (value: unknown) => void>) => void,
      (text: string) => void,
    ][] = [
      [
        'json',
        (res) => res.json({ rows: prose(3000) }),
        (text) => expect(JSON.parse(text)).toEqual({ rows: prose(3000) }),
      ],
      ['send', (res) => res.send(prose(40_000)), (text) => expect(text === prose(40_000)).toBe(true)],
      ['sendFile', (res) => res.sendFile(file), (text) => expect(text).toBe(readFileSync(file, 'utf8'))],
    ];
    for (const [name, answer, check] of answers) {
      const reading = await site.visit((_req, res) => answer(res as never), 'HTTP/1.1', { accept: coding });
      expect(await settles(reading.over)).toBe('end');
      expect([name, reading.status, reading.coding]).toEqual([name, 200, coding]);
      expect(reading.headers['accept-ranges']).toBe(name === 'sendFile' && coding === 'identity' ? 'bytes' : undefined);
      check(reading.decode());
    }
  });

  it('a range of a file is sent as it is', async () => {
    const reading = await site.visit(
      (_req, res) => (res as unknown as { sendFile(path: string): void }).sendFile(file),
      'HTTP/1.1',
      { accept: 'gzip', headers: { range: 'bytes=0-5' } },
    );
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.coding, reading.decode()]).toEqual([
      206,
      'identity',
      readFileSync(file, 'utf8').slice(0, 6),
    ]);
  });
});
