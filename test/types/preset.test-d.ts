import { expectTypeOf } from 'vitest';
import {
  type Compression,
  type Lifecycle,
  type Monitor,
  type Sluice,
  sluice,
  type SluiceOptions,
} from '../../src/index.ts';

const all = sluice();
expectTypeOf(all.lifecycle).toEqualTypeOf<Lifecycle>();
expectTypeOf(all.monitor).toEqualTypeOf<Monitor>();

const some = sluice({ lifecycle: false, compress: { threshold: 0 } });
expectTypeOf(some.lifecycle).toEqualTypeOf<undefined>();
expectTypeOf(some.compress).toEqualTypeOf<Compression>();

declare const options: SluiceOptions;
expectTypeOf(sluice(options).lifecycle).toEqualTypeOf<Lifecycle | undefined>();
expectTypeOf(sluice(options)).toEqualTypeOf<Sluice>();

sluice({
  monitor: { authorize: (req) => req.headers.authorization === 'Bearer key' },
  compress: { filter: (req) => req.headers['x-plain'] === undefined },
});

// @ts-expect-error -- no part
sluice({ compresion: {} });
// @ts-expect-error -- no option of the part
sluice({ heartbeat: { evry: '5s' } });
