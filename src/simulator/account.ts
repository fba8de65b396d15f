/** What was written to each connection, frame by frame: the other half of a proof that a recorder lost nothing. */

/** Facts of one connection. Sequence numbers are in the order of the wire. */
export interface ConnectionAccount {
  readonly id: number
  readonly clientPort: number
  /** Epoch milliseconds. */
  readonly openedMs: number
  readonly closedMs: number | null
  /** Data frames written to the socket, duplicates and frames without a number included. */
  readonly frames: number
  /** Those of them without a sequence number: errors and garbage. */
  readonly unnumbered: number
  /** Numbers sent at least once, as half-open ranges. */
  readonly delivered: readonly (readonly [from: number, until: number])[]
  /** Numbers that were used up and never sent. */
  readonly skipped: readonly number[]
  /** Numbers sent twice. */
  readonly duplicated: readonly number[]
  /** Numbers sent after their successor. */
  readonly reordered: readonly number[]
  readonly closeCode: number | null
  /** Why the connection ended: `client`, `no_subscribe`, `idle`, `slow_consumer`, `shutdown` or a fault's name. */
  readonly cause: string | null
}

export interface Account {
  readonly connections: readonly ConnectionAccount[]
  readonly frames: number
}

/** Numbers in a typed array that doubles: twenty thousand frames a second for an hour are 8 bytes a frame. */
class Growing<T extends Int32Array | Uint32Array> {
  #items: T
  #count = 0
  readonly #grow: (old: T) => T

  constructor(empty: T, grow: (old: T) => T) {
    this.#items = empty
    this.#grow = grow
  }

  get count(): number {
    return this.#count
  }

  push(value: number): void {
    if (this.#count === this.#items.length) this.#items = this.#grow(this.#items)
    this.#items[this.#count++] = value
  }

  values(): T {
    return this.#items.subarray(0, this.#count) as T
  }
}

export class ConnectionLedger {
  readonly id: number
  readonly skipped: number[] = []
  readonly duplicated: number[] = []
  readonly reordered: number[] = []
  readonly #clientPort: number
  readonly #openedMs: number
  readonly #sequences = new Growing(new Int32Array(256), (old) => {
    const grown = new Int32Array(old.length * 2)
    grown.set(old)
    return grown
  })
  readonly #crcs = new Growing(new Uint32Array(256), (old) => {
    const grown = new Uint32Array(old.length * 2)
    grown.set(old)
    return grown
  })
  readonly #framesMax: number
  #frames = 0
  #unnumbered = 0
  /** One more than the highest number sent. */
  #until = 0
  #closedMs: number | null = null
  #closeCode: number | null = null
  #cause: string | null = null

  /** @param framesMax of further frames neither number nor checksum is kept, they are only counted */
  constructor(id: number, clientPort: number, openedMs: number, framesMax: number) {
    this.id = id
    this.#framesMax = framesMax
    this.#clientPort = clientPort
    this.#openedMs = openedMs
  }

  get frames(): number {
    return this.#frames
  }

  /** @param sequence -1 for a frame that has none @param crc CRC-32 of the payload */
  sent(sequence: number, crc: number): void {
    this.#frames++
    if (sequence < 0) this.#unnumbered++
    else if (sequence >= this.#until) this.#until = sequence + 1
    if (this.#sequences.count === this.#framesMax) return
    this.#sequences.push(sequence)
    this.#crcs.push(crc)
  }

  /** The first cause stands: what follows is its consequence. */
  ending(cause: string, closeCode: number | null): void {
    if (this.#cause !== null) return
    this.#cause = cause
    this.#closeCode = closeCode
  }

  closed(nowMs: number): void {
    this.#closedMs ??= nowMs
  }

  /** Of the first `framesMax` frames, as `crcs`. */
  sequences(): Int32Array {
    return this.#sequences.values()
  }

  crcs(): Uint32Array {
    return this.#crcs.values()
  }

  account(): ConnectionAccount {
    return {
      id: this.id,
      clientPort: this.#clientPort,
      openedMs: this.#openedMs,
      closedMs: this.#closedMs,
      frames: this.#frames,
      unnumbered: this.#unnumbered,
      delivered: without(this.skipped, this.#until),
      skipped: [...this.skipped],
      duplicated: [...this.duplicated],
      reordered: [...this.reordered],
      closeCode: this.#closeCode,
      cause: this.#cause,
    }
  }
}

/** `[0, until)` without the given numbers. */
function without(skipped: readonly number[], until: number): [from: number, until: number][] {
  const ranges: [number, number][] = []
  let from = 0
  for (const number of [...skipped, until].sort((a, b) => a - b)) {
    if (number > until) break
    if (number > from) ranges.push([from, number])
    from = number + 1
  }
  return ranges
}
