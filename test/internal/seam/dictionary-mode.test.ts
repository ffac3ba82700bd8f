import http from 'node:http';
import v8 from 'node:v8';
import vm from 'node:vm';
import { describe, expect, it } from 'vitest';
import { useDictionaryMode } from '../../../src/internal/seam/dictionary-mode.ts';
import { carriers, type Middleware } from '../../support/carriers.ts';
import { serve } from '../../support/serve.ts';
import { settles } from '../../support/until.ts';

v8.setFlagsFromString('--allow-natives-syntax');
const isFast = vm.runInThisContext('(object) => %HasFastProperties(object)') as (object: object) => boolean;
// Compiled here, while the syntax is known.
isFast({});
v8.setFlagsFromString('--no-allow-natives-syntax');

const sharesShapes = Number(process.versions.node.split('.')[0]) >= 24;
const changesPrototypes = (name: string): boolean => name.startsWith('Express');

const fieldsOf = (object: object): Record<PropertyKey, unknown> => Object.getOwnPropertyDescriptors(object);

describe('dictionary mode', () => {
  it.each(carriers)('is for what changed its prototype, over $name, and changes no property', async (carrier) => {
    const seen: { wasFast: boolean[]; fast: boolean[]; before: object[]; after: object[] }[] = [];
    const handler: Middleware = (req, res) => {
      const before = [fieldsOf(req), fieldsOf(res)];
      // V8 may have made one of them a dictionary already: it depends on what else ran in this process.
      const wasFast = [isFast(req), isFast(res)];
      useDictionaryMode(res);
      seen.push({ wasFast, fast: [isFast(req), isFast(res)], before, after: [fieldsOf(req), fieldsOf(res)] });
      (res as http.ServerResponse).end('x');
    };
    const running = await serve(carrier, handler);
    await settles((await running.visit()).over);
    const isOne = changesPrototypes(carrier.name) && !sharesShapes;
    expect(seen).toHaveLength(1);
    expect(seen[0]?.fast).toEqual(isOne ? [false, false] : seen[0]?.wasFast);
    expect(seen[0]?.after).toEqual(seen[0]?.before);
  });

  it('leaves a child of a response, and one without a request, as they are', () => {
    const res = new http.ServerResponse({ method: 'GET' } as http.IncomingMessage);
    const child = Object.create(res) as http.ServerResponse;
    useDictionaryMode(child);
    expect(Object.getOwnPropertyNames(child)).toEqual([]);
    const lone = { writable: true } as unknown as http.ServerResponse;
    useDictionaryMode(lone);
    expect(lone).toEqual({ writable: true });
  });
});
