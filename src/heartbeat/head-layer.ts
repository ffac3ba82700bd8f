import type { ServerResponse } from 'node:http';
import { responseField } from '../internal/http/headers.ts';
import { type Head, type HeadOutcome, Layer, type LayerKind, type Rank, rank } from '../internal/seam/layer.ts';
import { mediaTypeOf } from '../internal/http/accept.ts';
import { type HttpRequest, type HttpResponse, isGone } from '../internal/http/message.ts';
import type { Seam } from '../internal/seam/response.ts';
import { type Admission, admit, type Mount } from './admission.ts';
import { EncodedStream } from './encoded-stream.ts';
import { reportInjection, warnOfEncoded } from './events.ts';
import { HeartbeatLayer } from './heartbeat-layer.ts';
import type { ResolvedHeartbeatOptions } from './options.ts';
import { decideInjection, type HeartbeatFormat, type Injection, isStream } from './policy/injection.ts';
import { RefusedStream } from './refused-stream.ts';

/** What a head layer is made of. */
export interface HeartbeatHeadLayerInput {
  readonly seam: Seam;
  readonly req: HttpRequest;
  readonly options: ResolvedHeartbeatOptions;
  readonly mounts: readonly Mount[];
}

/** Waits for the head of a response, and decides whether it is that of a stream. Another layer takes its place then. */
export class HeartbeatHeadLayer extends Layer {
  override readonly rank: Rank = rank.heartbeat;
  override readonly kind: LayerKind = 'injector';
  readonly #seam: Seam;
  readonly #req: HttpRequest;
  readonly #options: ResolvedHeartbeatOptions;

  /** This mount, and those that it replaces. */
  readonly mounts: readonly Mount[];

  constructor({ seam, req, options, mounts }: HeartbeatHeadLayerInput) {
    super();
    this.mounts = mounts;
    this.#seam = seam;
    this.#req = req;
    this.#options = options;
  }

  override head({ res, complete }: Head): HeadOutcome {
    const format = this.#options.formatOf(mediaTypeOf(responseField(res, 'content-type')));
    const injection = this.#decide(res as ServerResponse, format, complete !== undefined);
    reportInjection(this.#req, injection);
    if (isGone(res) || !isStream(injection)) return { kind: 'leave' };
    const admission = admit(this.mounts, this.#req, res);
    if (admission.kind === 'refused') return this.#refuse(admission);
    const { release } = admission;
    if (injection.kind === 'inject') return this.#inject(injection.format, release);
    const isEncoded = format?.isEventStream === true && injection.reason === 'encoded';
    return isEncoded ? this.#leaveEncoded(res, release) : { kind: 'leave', undo: release };
  }

  #inject(format: HeartbeatFormat, release: () => void): HeadOutcome {
    const layer = new HeartbeatLayer({ seam: this.#seam, req: this.#req, format, options: this.#options });
    layer.begin();
    return becomes(layer, release);
  }

  #refuse({ refusal, error }: Extract<Admission, { kind: 'refused' }>): HeadOutcome {
    const layer = new RefusedStream({ seam: this.#seam, req: this.#req, options: refusal, error });
    return { kind: 'become', layer, undo: layer.begin() };
  }

  #leaveEncoded(res: HttpResponse, release: () => void): HeadOutcome {
    warnOfEncoded(this.#req, responseField(res, 'content-encoding'));
    const layer = new EncodedStream(this.#seam, this.#req);
    layer.begin(this.#options);
    return becomes(layer, release);
  }

  #decide(res: ServerResponse, format: HeartbeatFormat | undefined, isComplete: boolean): Injection {
    return decideInjection({
      method: this.#req.method,
      status: res.statusCode,
      field: (name) => responseField(res, name),
      format,
      isComplete,
      // Asked for streams only, and once it matters.
      isFiltered: format !== undefined && !isComplete && !this.#isWanted(res),
    });
  }

  #isWanted(res: HttpResponse): boolean {
    const { filter } = this.#options;
    try {
      // A filter that says nothing has nothing against it.
      return filter === undefined || Boolean(filter(this.#req, res) ?? true);
    } catch (error) {
      this.#options.registry.fail(error);
      return false;
    }
  }
}

function becomes(layer: HeartbeatLayer | EncodedStream, release: () => void): HeadOutcome {
  const undo = (): void => {
    layer.withdraw();
    release();
  };
  return { kind: 'become', layer, undo };
}
