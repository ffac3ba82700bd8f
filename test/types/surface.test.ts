import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { readSurface, type Surface } from './surface.ts';

const committed = JSON.parse(readFileSync(new URL('surface.json', import.meta.url), 'utf8')) as {
  readonly values: readonly string[];
  readonly types: readonly string[];
};

describe('the declarations of the package', () => {
  let surface: Surface;
  beforeAll(() => {
    surface = readSurface();
  }, 120_000);

  it('export the committed names from the root, and no other', () => {
    expect({ values: surface.values, types: surface.types }).toEqual(committed);
  });

  it('have a text for each name and each of its members', () => {
    expect(surface.undocumented).toEqual([]);
  });

  it('say the default of each option that may be left out', () => {
    expect(surface.withoutDefault).toEqual([]);
  });
});
