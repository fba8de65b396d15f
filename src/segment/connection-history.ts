/** Where each connection of a recorder stood, by the lines it left. */

import { ConnectionCounter, SealedConnections } from './connection-stats.ts'
import { toLine } from './read.ts'
import type { ScannedLine } from './scanned-line.ts'

export interface OpenConnection {
  readonly conn: string
  readonly products: readonly string[]
  readonly lastSequence: number | null
  readonly lastRecvNs: string
}

export interface History {
  readonly connections: SealedConnections
  readonly open: readonly OpenConnection[]
  readonly products: readonly string[]
  /** The recorder as a whole was already said to have died, and the recovery to have happened: by a recovery that was killed. */
  readonly isSaid: { readonly died: boolean; readonly recovered: boolean }
}

/** Which connections were open at the end, and where each one stood. */
export class ConnectionHistory {
  readonly #sequenceOf: (frame: Buffer) => number
  readonly #counters = new Map<string, ConnectionCounter>()
  readonly #open = new Map<
    string,
    { products: readonly string[]; lastSequence: number | null; lastRecvNs: string }
  >()
  #products: readonly string[] = []
  #isSaid = { died: false, recovered: false }

  constructor(sequenceOf: (frame: Buffer) => number) {
    this.#sequenceOf = sequenceOf
  }

  take(scanned: ScannedLine): void {
    const line = toLine(scanned)
    if (line.kind === 'event') this.#takeEvent(line.conn, asEvent(line.event), line.recvNs)
    if (line.kind !== 'frame') return
    this.#isSaid = { died: false, recovered: false }
    const sequence = this.#sequenceOf(line.frame)
    let counter = this.#counters.get(line.conn)
    if (counter === undefined) this.#counters.set(line.conn, (counter = new ConnectionCounter(line.conn)))
    counter.add(sequence)
    const open = this.#open.get(line.conn) ?? { products: [], lastSequence: null, lastRecvNs: '' }
    open.lastRecvNs = String(line.recvNs)
    if (sequence > (open.lastSequence ?? -1)) open.lastSequence = sequence
    this.#open.set(line.conn, open)
  }

  #takeEvent(conn: string | null, event: EventBodies, recvNs: bigint): void {
    const opened = event['connection_opened']
    const started = event['recorder_started']
    if (started !== undefined) this.#products = asNames(started['products'])
    if (event['continued'] !== undefined) this.#takeContinued(event['continued']['connections'])
    if (event['products_changed'] !== undefined) this.#takeChange(event['products_changed'])
    if (conn === null) {
      if (event['gap']?.['cause'] === 'recorder_died') this.#isSaid.died = true
      if (event['recovered'] !== undefined) this.#isSaid.recovered = true
      return
    }
    if (opened !== undefined)
      this.#open.set(conn, {
        products: asNames(opened['products']),
        lastSequence: null,
        lastRecvNs: String(recvNs),
      })
    const asked = event['subscribe_sent']
    const open = this.#open.get(conn)
    if (asked !== undefined && open !== undefined)
      open.products = [...new Set([...open.products, ...asNames(asked['products'])])]
    // An open-ended gap already says that nothing more came: written at the close, or by a recovery that was itself killed.
    const gap = event['gap']
    if (event['connection_closed'] !== undefined || (gap !== undefined && gap['before_seq'] === null))
      this.#open.delete(conn)
  }

  /** What is new is asked for by a subscribe; what is gone is on no connection any more. */
  #takeChange(change: Readonly<Record<string, unknown>>): void {
    const removed = new Set(asNames(change['removed']))
    const without = (names: readonly string[]): string[] => names.filter((one) => !removed.has(one))
    this.#products = [...without(this.#products), ...asNames(change['added'])]
    for (const open of this.#open.values()) open.products = without(open.products)
  }

  /** What the segment before left open. */
  #takeContinued(connections: unknown): void {
    if (!Array.isArray(connections)) return
    for (const one of connections.filter(isRecord)) {
      const products = asNames(one['products'])
      this.#products = [...new Set([...this.#products, ...products])]
      this.#open.set(String(one['conn']), {
        products,
        lastSequence: typeof one['last_seq'] === 'number' ? one['last_seq'] : null,
        lastRecvNs: typeof one['last_recv_ns'] === 'string' ? one['last_recv_ns'] : '',
      })
    }
  }

  summary(): History {
    const connections = new SealedConnections()
    for (const counter of this.#counters.values()) connections.add([counter.take()!])
    return {
      connections,
      open: [...this.#open].map(([conn, one]) => ({ conn, ...one })),
      products: this.#products,
      isSaid: this.#isSaid,
    }
  }
}

type EventBodies = Readonly<Partial<Record<string, Readonly<Record<string, unknown>>>>>

/** An event is an object with one key whose value is an object; anything else says nothing. */
function asEvent(value: unknown): EventBodies {
  if (!isRecord(value)) return {}
  return Object.fromEntries(
    Object.entries(value).filter((one): one is [string, Record<string, unknown>] => isRecord(one[1])),
  )
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function asNames(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []
}
