import type { ServerResponse } from 'node:http';
import { responseField } from '../internal/fields.ts';
import { type Head, Layer, type Rank, rank } from '../internal/layer.ts';
import { mediaTypeOf } from '../internal/media-type.ts';
import { type HttpRequest, type HttpResponse, isGone } from '../internal/message.ts';
import type { Seam } from '../internal/response.ts';
import { occupy } from './admission.ts';
import { decideInjection, type Injection } from './injection.ts';
import type { ResolvedHeartbeatOptions } from './options.ts';
import { Pulse } from './pulse.ts';
import { reportInjection } from './report.ts';

/** Waits for the head of a response, and takes itself away if that is not the head of a stream. */
export class Gate extends Layer {
  override readonly rank: Rank = rank.heartbeat;
  override readonly transforms: boolean = true;
  readonly #seam: Seam;
  readonly #req: HttpRequest;
  readonly #options: ResolvedHeartbeatOptions;

  constructor(seam: Seam, req: HttpRequest, options: ResolvedHeartbeatOptions) {
    super();
    this.#seam = seam;
    this.#req = req;
    this.#options = options;
  }

  override get wantsFlush(): boolean {
    return false;
  }

  override head({ res, complete, onRefused }: Head): boolean {
    const injection = this.#decide(res as ServerResponse, complete !== undefined);
    reportInjection(this.#req, injection);
    if (injection.kind === 'none' || isGone(res)) {
      this.#seam.remove(this);
      onRefused(() => void this.#seam.add(this));
      return false;
    }
    occupy(this.#options.registry, this.#req, res);
    const pulse = new Pulse({ seam: this.#seam, req: this.#req, carrier: injection.carrier, options: this.#options });
    pulse.begin();
    this.#seam.replace(this, pulse);
    onRefused(() => {
      pulse.withdraw();
      this.#seam.replace(pulse, this);
    });
    return true;
  }

  #decide(res: ServerResponse, isComplete: boolean): Injection {
    const carrier = this.#options.carrierOf(mediaTypeOf(responseField(res, 'content-type')));
    return decideInjection({
      method: this.#req.method,
      status: res.statusCode,
      field: (name) => responseField(res, name),
      carrier,
      isComplete,
      // Of streams only, and once it matters.
      isFiltered: carrier !== undefined && !isComplete && !this.#isWanted(res),
    });
  }

  #isWanted(res: HttpResponse): boolean {
    try {
      return this.#options.filter?.(this.#req, res) ?? true;
    } catch (error) {
      this.#options.registry.fail(error);
      return false;
    }
  }
}
