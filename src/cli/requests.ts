/** What a bucket was asked by this process, in words: what its bill is made of. */

import { formatBytes } from '../core/bytes.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { requestKinds, requestsOf, type RequestCounts } from '../storage/s3/requests.ts'
import type { CommandContext } from './command.ts'

/** `put 12 · get 30, 2 of them again, 1.2 MB up, 34.0 MB down` */
export function requestWords(requests: RequestCounts): string {
  const counts = requestKinds.filter((kind) => requests[kind] > 0).map((kind) => `${kind} ${requests[kind]}`)
  const words = [counts.join(' · ')]
  if (requests.retries > 0) words.push(`${requests.retries} of them again`)
  if (requests.bytesUp > 0) words.push(`${formatBytes(requests.bytesUp)} up`)
  if (requests.bytesDown > 0) words.push(`${formatBytes(requests.bytesDown)} down`)
  return words.join(', ')
}

/** Says it for people, where there was a bucket. */
export function tellRequests(store: ObjectStore, { json, output }: CommandContext): void {
  const requests = requestsOf(store)
  if (requests !== null && !json) output.err(`requests: ${requestWords(requests)}\n`)
}
