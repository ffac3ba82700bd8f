import { type Departure, Layer, type Rank } from './layer.ts';

/** What has layers. */
export interface LayersHost {
  /** Called for each layer that comes. */
  layerAdded(layer: Layer): void;
}

/** The layers of one response, in the order of their ranks. */
export class LayerStack {
  /** The topmost layer that handles writes, ends or flushes. */
  top: Layer;
  /** Whether a layer may change the body, or one that has left could. */
  transforms = false;
  readonly #bottom: Layer;
  readonly #host: LayersHost;
  /** Top down, without the bottom. */
  #layers: Layer[] = [];

  constructor(bottom: Layer, host: LayersHost) {
    this.top = this.#bottom = bottom;
    this.#host = host;
  }

  /** Adds a layer at its rank; within a rank the one added last is nearest to the handler. */
  add(layer: Layer): void {
    const index = this.#layers.findIndex((other) => other.rank >= layer.rank);
    this.#layers.splice(index < 0 ? this.#layers.length : index, 0, layer);
    this.#added(layer);
  }

  /** Puts a layer in the place of another. */
  replace(old: Layer, layer: Layer): void {
    const index = this.#layers.indexOf(old);
    // One that has left meanwhile has no place to give.
    if (index < 0) {
      this.add(layer);
      return;
    }
    this.#layers.splice(index, 1, layer);
    this.#added(layer);
  }

  /** Takes a layer out. It must not hold bytes any more. */
  remove(layer: Layer): void {
    const index = this.#layers.indexOf(layer);
    if (index < 0) return;
    this.#layers.splice(index, 1);
    this.#link();
  }

  /** The topmost layer of a rank. */
  at(rank: Rank): Layer | undefined {
    return this.#layers.find((layer) => layer.rank === rank);
  }

  /** Whether a layer is there. */
  some(matches: (layer: Layer) => boolean): boolean {
    return this.#layers.some(matches);
  }

  get hasHeadLayers(): boolean {
    return this.#layers.some((layer) => layer.head);
  }

  /** The layers that are asked about the head, top down. */
  get headLayers(): readonly Layer[] {
    return this.#layers.filter((layer) => layer.head);
  }

  /** How the client leaves in a drain: the answer of the topmost layer that has one. */
  get departure(): Departure | undefined {
    return this.#layers.find((layer) => layer.departure)?.departure;
  }

  /** Bytes that all layers hold. */
  get bufferedBytes(): number {
    return this.#layers.reduce((sum, layer) => sum + layer.bufferedBytes, 0);
  }

  get needDrain(): boolean {
    return this.#layers.some((layer) => layer.needDrain);
  }

  get bottomUp(): readonly Layer[] {
    return this.#layers.toReversed();
  }

  #added(layer: Layer): void {
    this.#link();
    if (layer.kind !== 'observer') this.transforms = true;
    this.#host.layerAdded(layer);
  }

  #link(): void {
    let below = this.#bottom;
    this.top = below;
    for (const layer of this.#layers.toReversed()) {
      layer.below = below;
      below = layer;
      if (handlesBody(layer)) this.top = layer;
    }
  }
}

const bodyHandlers = new Map<unknown, boolean>();

/** Whether writes, ends or flushes mean something to a layer. The same for all layers of a class. */
function handlesBody(layer: Layer): boolean {
  const known = bodyHandlers.get(layer.constructor);
  if (known !== undefined) return known;
  const handles =
    layer.kind !== 'observer' || overrides(layer, 'write') || overrides(layer, 'end') || overrides(layer, 'flush');
  bodyHandlers.set(layer.constructor, handles);
  return handles;
}

/** Whether a layer has its own version of a method. */
export function overrides(layer: Layer, method: 'write' | 'end' | 'flush'): boolean {
  return layer[method] !== Layer.prototype[method];
}
