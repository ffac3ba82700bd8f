import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { readSurface, type Surface } from './surface.ts';

type Names = Pick<Surface, 'values' | 'types'>;

const { client, conformance, ...root } = JSON.parse(
  readFileSync(new URL('surface.json', import.meta.url), 'utf8'),
) as Names & { readonly client: Names; readonly conformance: Names };

// The root exports every part but the client, and the checks, which belong into tests.
describe.each([
  ['.', root],
  ['client', client],
  ['conformance', conformance],
] as const)('the declarations of %s', (subpath, committed) => {
  let surface: Surface;
  beforeAll(() => {
    surface = readSurface(subpath);
  }, 120_000);

  it('export the committed names, and no other', () => {
    expect({ values: surface.values, types: surface.types }).toEqual(committed);
  });

  it('have a text for each name and each of its members', () => {
    expect(surface.undocumented).toEqual([]);
  });

  it('say the default of each option that may be left out', () => {
    expect(surface.withoutDefault).toEqual([]);
  });
});
