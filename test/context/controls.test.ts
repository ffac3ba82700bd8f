import { describe, expect, it, onTestFinished } from 'vitest';
import {
  type Codec,
  compress,
  type CompressionSwitch,
  createGovernor,
  createSwitch,
  gzip,
} from '../../src/compress/index.ts';
import type { Middleware } from '../support/carriers.ts';
import { serve } from '../support/serve.ts';
import { prose } from '../support/texts.ts';
import { settles, until } from '../support/until.ts';
import { callerOf, crowdSize } from './crowd.ts';
import { followUnowned, mounted, ownerOf, fewPlaces, type Row, Witness } from './witness.ts';

const ofNobody = 'the switch and the governor are older than all requests';
const forAll = 'all requests use what it loads';

const rows: Readonly<Record<string, Row>> = {
  'switch change': { sees: 'none', because: ofNobody },
  'switch change, for a request that listens': { sees: 'own' },
  'after await swap': { sees: 'own' },
  'governor tier': { sees: 'none', because: ofNobody },
  'governor tier, for a request that listens': { sees: 'own' },
  'governor sample': { sees: 'none', because: ofNobody },
  'sluice:compress:tier': { sees: 'none', because: ofNobody },
  'codec.load, of a profile that is swapped': { sees: 'none', because: forAll },
  'codec.load, of a profile that a request sees first': { sees: 'none', because: forAll },
};

function loadedCodec(load: () => void): Codec {
  return { ...gzip(), coding: 'gzip', load: async () => load() };
}

/** A switch of the application, which does not know who uses it. */
class ForeignSwitch implements Pick<CompressionSwitch, 'current' | 'profile' | 'swap'> {
  current = createSwitch().current;
  readonly swap = (): Promise<void> => Promise.resolve();

  get profile(): CompressionSwitch['profile'] {
    return this.current.profile;
  }
}

describe.each(fewPlaces)('$carrier, stores set $mount the middlewares', (place) => {
  it('runs what a switch and a governor lead to in the context of those who listen, whichever request turns them', async () => {
    const witness = new Witness(rows);
    followUnowned(witness, 'sluice:compress:tier');
    const unowned = (callback: string): (() => void) => witness.watch(callback, 'nobody');
    let load = 0;
    const sample = (): number => {
      unowned('governor sample')();
      return load;
    };
    const governor = createGovernor({ interval: 10, sample });
    const [controls, foreign] = [createSwitch(), new ForeignSwitch()];
    governor.on('tier', unowned('governor tier'));
    controls.on('change', unowned('switch change'));
    const listening = new Set<string>();
    const turn = async (): Promise<void> => {
      load = 100;
      controls.disable();
      controls.enable();
      await controls.swap({ codecs: [loadedCodec(unowned('codec.load, of a profile that is swapped'))] });
      foreign.current = createSwitch({
        codecs: [loadedCodec(unowned('codec.load, of a profile that a request sees first'))],
      }).current;
    };
    const handler: Middleware = async (req, res) => {
      const owner = ownerOf(req);
      const watch = (callback: string): (() => void) => witness.watch(callback, owner);
      if (req.url === '/turn') {
        await turn();
        watch('after await swap')();
      } else {
        onTestFinished(controls.on('change', watch('switch change, for a request that listens')));
        onTestFinished(governor.on('tier', watch('governor tier, for a request that listens')));
        listening.add(owner);
        await until(
          () =>
            witness.count('governor tier, for a request that listens', owner) > 0 &&
            witness.count('after await swap') > 0,
        );
      }
      res.setHeader('Content-Type', 'text/plain');
      res.end(prose(2000));
    };
    const compressions = [compress({ switch: controls, governor }), compress({ switch: foreign as never })];
    onTestFinished(() => {
      governor.close();
      for (const each of compressions) each.close();
    });
    const running = await serve(place.make, ...mounted(place.mount, ...(compressions as Middleware[])), handler);
    const caller = callerOf(running, place.protocol);
    const fields = { 'accept-encoding': 'gzip' };
    const calls = Array.from({ length: crowdSize }, (_, index) => caller.call(`request ${index + 1}`, '/', fields));
    await until(() => listening.size === crowdSize);
    calls.push(caller.call('an administrator', '/turn', fields));
    await settles(Promise.all(calls.map(async (call) => (await call).over)));
    await until(
      () => witness.unseen(place).length === 0,
      () => `never seen: ${witness.unseen(place).join(', ')}`,
    );
    expect(running.errors).toEqual([]);
    expect(witness.faults(place)).toEqual([]);
  });
});
