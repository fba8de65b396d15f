/** How many requests were sent and bytes moved: what the bill is made of. */

import type { ObjectStore } from '../object-store.ts'

export const requestKinds = ['put', 'get', 'head', 'list', 'delete', 'multipart', 'copy'] as const

/** `multipart`: creating, completing, aborting and listing uploads, and each of their parts. */
export type RequestKind = (typeof requestKinds)[number]

/** Counts since the store was opened; every attempt is one, as on the bill. */
export type RequestCounts = { readonly [kind in RequestKind]: number } & {
  /** Of all these, attempts after the first. */
  readonly retries: number
  /** Bodies only. */
  readonly bytesUp: number
  readonly bytesDown: number
}

export class RequestCounter {
  readonly #byKind = new Map<RequestKind, number>()
  #retries = 0
  #bytesUp = 0
  #bytesDown = 0

  /** @param attempt 0 for the first */
  count(kind: RequestKind, attempt: number): void {
    this.#byKind.set(kind, (this.#byKind.get(kind) ?? 0) + 1)
    if (attempt > 0) this.#retries++
  }

  countUp(sizeBytes: number): void {
    this.#bytesUp += sizeBytes
  }

  countDown(sizeBytes: number): void {
    this.#bytesDown += sizeBytes
  }

  snapshot(): RequestCounts {
    const of = (kind: RequestKind): number => this.#byKind.get(kind) ?? 0
    return {
      put: of('put'),
      get: of('get'),
      head: of('head'),
      list: of('list'),
      delete: of('delete'),
      multipart: of('multipart'),
      copy: of('copy'),
      retries: this.#retries,
      bytesUp: this.#bytesUp,
      bytesDown: this.#bytesDown,
    }
  }
}

/** What a store was asked since it was opened; null for one that has no bill. */
export function requestsOf(store: ObjectStore): RequestCounts | null {
  return 'requests' in store ? (store.requests as RequestCounts | null) : null
}

export function addRequests(one: RequestCounts | null, other: RequestCounts | null): RequestCounts | null {
  if (one === null || other === null) return one ?? other
  const sums = Object.entries(one).map(([name, count]) => [name, count + other[name as keyof RequestCounts]])
  return Object.fromEntries(sums) as RequestCounts
}
