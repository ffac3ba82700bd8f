/**
 * The headers of a message, in order and with their case. Reads and changes like `Headers` of the Fetch standard, but
 * checks nothing and keeps every line: a name may come more than once.
 */
export class HeaderList {
  /** Name, value, name, value … */
  readonly #flat: string[] = [];
  /** The same names in lower case, by half the index. */
  readonly #names: string[] = [];

  /** @param flat - name, value, name, value …, as `rawHeaders` */
  constructor(flat: readonly string[] = []) {
    for (let at = 0; at + 1 < flat.length; at += 2) this.append(flat[at] ?? '', flat[at + 1] ?? '');
  }

  /** The values of a name, joined by `, `; `null` without one. */
  get(name: string): string | null {
    const wanted = name.toLowerCase();
    const at = this.#names.indexOf(wanted);
    if (at < 0) return null;
    return this.#names.includes(wanted, at + 1) ? this.getAll(wanted).join(', ') : (this.#flat[2 * at + 1] ?? '');
  }

  /** The values of a name, a line each. */
  getAll(name: string): string[] {
    const wanted = name.toLowerCase();
    const values: string[] = [];
    for (let at = 0; at < this.#names.length; at += 1) {
      if (this.#names[at] === wanted) values.push(this.#flat[2 * at + 1] ?? '');
    }
    return values;
  }

  /** The names of all lines in lower case, in order. Not a copy. */
  get names(): readonly string[] {
    return this.#names;
  }

  /** Whether there is a line of the name. */
  has(name: string): boolean {
    return this.#names.includes(name.toLowerCase());
  }

  /** Adds a line. */
  append(name: string, value: string): void {
    this.#flat.push(name, value);
    this.#names.push(name.toLowerCase());
  }

  /** Replaces all lines of the name with one. */
  set(name: string, value: string): void {
    this.delete(name);
    this.append(name, value);
  }

  /** Deletes all lines of the name. */
  delete(name: string): void {
    const unwanted = name.toLowerCase();
    if (this.#names.includes(unwanted)) this.keep((each) => each !== unwanted);
  }

  /** Deletes the lines whose name, in lower case, does not pass. */
  keep(passes: (name: string) => boolean): void {
    let kept = 0;
    for (let at = 0; at < this.#names.length; at += 1) {
      const name = this.#names[at] ?? '';
      if (!passes(name)) continue;
      this.#names[kept] = name;
      this.#flat[2 * kept] = this.#flat[2 * at] ?? '';
      this.#flat[2 * kept + 1] = this.#flat[2 * at + 1] ?? '';
      kept += 1;
    }
    this.#names.length = kept;
    this.#flat.length = 2 * kept;
  }

  /** Name, value, name, value …, as `rawHeaders`. Not a copy. */
  get flat(): readonly string[] {
    return this.#flat;
  }

  *[Symbol.iterator](): Generator<[name: string, value: string]> {
    for (let at = 0; at < this.#flat.length; at += 2) yield [this.#flat[at] ?? '', this.#flat[at + 1] ?? ''];
  }
}
