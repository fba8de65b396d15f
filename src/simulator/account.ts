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
  #closedMs: number | null = null
  #closeCode: number | null = null
  #cause: string | null = null

  constructor(id: number, clientPort: number, openedMs: number) {
    this.id = id
    this.#clientPort = clientPort
    this.#openedMs = openedMs
  }

  get frames(): number {
    return this.#sequences.count
  }

  /** @param sequence -1 for a frame that has none @param crc CRC-32 of the payload */
  sent(sequence: number, crc: number): void {
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
      frames: this.frames,
      skipped: [...this.skipped],
      duplicated: [...this.duplicated],
      reordered: [...this.reordered],
      closeCode: this.#closeCode,
      cause: this.#cause,
    }
  }
}
