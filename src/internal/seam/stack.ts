import { type Departure, Layer, type Rank } from './layer.ts';

/** What has layers. */
export interface LayersHost {
  /** Called for each layer that comes. */
  layerAdded(layer: Layer): void;
}

/** The layers of one response, in the order of their ranks: a list, linked by `below`, that ends in the bottom. */
export class LayerStack {
  /** The topmost layer that handles writes, ends or flushes. */
  top: Layer;
  /** Whether a layer may change the body, or one that has left could. */
  transforms = false;
  readonly #bottom: Layer;
  readonly #host: LayersHost;
  #first: Layer;

  constructor(bottom: Layer, host: LayersHost) {
    this.top = this.#first = this.#bottom = bottom;
    this.#host = host;
  }

  /** Adds a layer at its rank; within a rank the one added last is nearest to the handler. */
  add(layer: Layer): void {
    let above: Layer | undefined;
    let below = this.#first;
    while (below.rank < layer.rank) {
      above = below;
      below = below.below;
    }
    layer.below = below;
    this.#putBelow(above, layer);
    this.#added(layer);
  }

  /** Puts a layer in the place of another. */
  replace(old: Layer, layer: Layer): void {
    const above = this.#above(old);
    // One that has left meanwhile has no place to give.
    if (above === false) {
      this.add(layer);
      return;
    }
    layer.below = old.below;
    this.#putBelow(above, layer);
    this.#added(layer);
  }

  /** Takes a layer out. It must not hold bytes any more. */
  remove(layer: Layer): void {
    const above = this.#above(layer);
    if (above !== false) this.#putBelow(above, layer.below);
  }

  /** The topmost layer of a rank. */
  at(rank: Rank): Layer | undefined {
    return this.#find((layer) => layer.rank === rank);
  }

  /** Whether a layer is there. */
  some(matches: (layer: Layer) => boolean): boolean {
    return this.#find(matches) !== undefined;
  }

  get hasHeadLayers(): boolean {
    return this.some((layer) => layer.head !== undefined);
  }

  /** The layers that are asked about the head, top down. */
  get headLayers(): readonly Layer[] {
    return this.#all((layer) => layer.head !== undefined);
  }

  /** How the client leaves in a drain: the answer of the topmost layer that has one. */
  get departure(): Departure | undefined {
    return this.#find((layer) => layer.departure !== undefined)?.departure;
  }

  /** Bytes that all layers hold. */
  get bufferedBytes(): number {
    let sum = 0;
    for (let layer = this.#first; layer !== this.#bottom; layer = layer.below) sum += layer.bufferedBytes;
    return sum;
  }

  get needDrain(): boolean {
    return this.some((layer) => layer.needDrain);
  }

  get bottomUp(): readonly Layer[] {
    return this.#all(() => true).reverse();
  }

  #find(matches: (layer: Layer) => boolean): Layer | undefined {
    for (let layer = this.#first; layer !== this.#bottom; layer = layer.below) if (matches(layer)) return layer;
    return undefined;
  }

  /** A copy: layers come and go meanwhile. */
  #all(matches: (layer: Layer) => boolean): Layer[] {
    const found: Layer[] = [];
    for (let layer = this.#first; layer !== this.#bottom; layer = layer.below) if (matches(layer)) found.push(layer);
    return found;
  }

  /** The layer above a layer; `undefined`: it is the first. `false`: it is not there. */
  #above(layer: Layer): Layer | undefined | false {
    let above: Layer | undefined;
    for (let each = this.#first; each !== this.#bottom; each = each.below) {
      if (each === layer) return above;
      above = each;
    }
    return false;
  }

  #putBelow(above: Layer | undefined, layer: Layer): void {
    if (above) above.below = layer;
    else this.#first = layer;
    let top = this.#first;
    while (top !== this.#bottom && !handlesBody(top)) top = top.below;
    this.top = top;
  }

  #added(layer: Layer): void {
    if (layer.kind !== 'observer') this.transforms = true;
    this.#host.layerAdded(layer);
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
