/**
 * Something for each of many segments, by what a segment is whatever it is called: its recorder and its first counter. Not by one text of both,
 * which would have to be made for each look.
 */
export class ByIdentity<T> {
  readonly #byRecorder = new Map<string, Map<number, T>>()

  get(recorder: string, firstN: number): T | undefined {
    return this.#byRecorder.get(recorder)?.get(firstN)
  }

  set(recorder: string, firstN: number, value: T): void {
    const own = this.#byRecorder.get(recorder)
    if (own === undefined) this.#byRecorder.set(recorder, new Map([[firstN, value]]))
    else own.set(firstN, value)
  }

  /** Keeps what `keep` says of; recorders of which nothing is left go too. */
  retain(keep: (recorder: string, firstN: number) => boolean): void {
    for (const [recorder, own] of this.#byRecorder) {
      for (const firstN of own.keys()) if (!keep(recorder, firstN)) own.delete(firstN)
      if (own.size === 0) this.#byRecorder.delete(recorder)
    }
  }

  get size(): number {
    let size = 0
    for (const own of this.#byRecorder.values()) size += own.size
    return size
  }

  values(): T[] {
    return [...this.#byRecorder.values()].flatMap((own) => [...own.values()])
  }
}
