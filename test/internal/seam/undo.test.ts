import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ServerResponse } from 'node:http';
import { expect, it, onTestFinished } from 'vitest';
import { type HeadOutcome, Layer, type Rank, rank } from '../../../src/internal/seam/layer.ts';
import { openSeam } from '../../../src/internal/seam/response.ts';
import { bare } from '../../support/carriers.ts';
import { serve } from '../../support/serve.ts';

/** Takes something for a head, and gives it back. */
class Taker extends Layer {
  override readonly rank: Rank = rank.counting;
  readonly #undo: () => void;

  constructor(undo: () => void) {
    super();
    this.#undo = undo;
  }

  override head(): HeadOutcome {
    return { kind: 'keep', undo: this.#undo };
  }
}

it('an undo that throws holds up no other, and the error is the one of the head', async () => {
  const reported: unknown[] = [];
  const listener = (message: unknown): void => void reported.push((message as { error: Error }).error.message);
  subscribe('sluice:stream:error', listener);
  onTestFinished(() => void unsubscribe('sluice:stream:error', listener));
  const undone: string[] = [];
  const thrown: unknown[] = [];
  const served = await serve(bare, (_req, response) => {
    const res = response as ServerResponse;
    const native = res.writeHead;
    res.writeHead = () => {
      throw new Error('refused below');
    };
    const undo = (name: string) => (): void => {
      undone.push(name);
      if (name === 'last') throw new Error('cannot undo');
    };
    for (const name of ['last', 'middle', 'first']) openSeam(res).add(new Taker(undo(name)));
    try {
      res.writeHead(200);
    } catch (error) {
      thrown.push((error as Error).message);
    }
    native.call(res, 204);
    res.end();
  });
  expect((await served.visit()).status).toBe(204);
  expect(undone).toEqual(['last', 'middle', 'first']);
  expect(thrown).toEqual(['refused below']);
  expect(reported).toEqual(['cannot undo']);
});
