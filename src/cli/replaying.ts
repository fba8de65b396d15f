/** A replay with this machine's memory and a scratch folder of its own: for `mdv replay` and `mdv serve`. */

import { randomBytes } from 'node:crypto'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { Replay, type ReplayRequest } from '../query/replay/replay.ts'
import type { OpenedStore } from '../storage/open.ts'

/** @param shares how many may go on at once, each with its share of the memory */
export async function openReplay(
  store: OpenedStore,
  venue: string,
  request: ReplayRequest,
  shares: number,
  signal: AbortSignal,
): Promise<Replay> {
  const scratchDir = join(await store.scratch('replay'), randomBytes(6).toString('hex'))
  const memoryLimitMb = Math.max(256, Math.min(2048, Math.floor(totalmem() / 4_000_000 / shares)))
  return Replay.open(store, venue, request, { memoryLimitMb, scratchDir }, signal)
}
