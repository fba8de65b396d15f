/** Looks after recorders that are gone: what they left in a bucket under raw/active becomes ordinary segments. */

import { randomBytes } from 'node:crypto'
import { VaultError } from '../core/errors.ts'
import {
  abandonedAfterMs,
  rescueAbandoned,
  type Rescue,
  type RescueDeps,
  type Rescued,
  type RescueMemory,
} from '../segment/rescue.ts'
import { realDisk } from '../storage/disk.ts'
import { rawActive } from '../storage/keys.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { coinbase } from '../venue/coinbase.ts'
import { sequenceNumbers } from '../venue/sequence.ts'
import type { CommandContext } from './command.ts'
import { software } from './version.ts'

const lookEveryMs = 60_000

/** Of a segment whose recorder is gone, by every command that recovers. */
export const leftToNewer =
  'written by a newer version of mdv and left as it is: let that version recover it, or upgrade this one'

/** Whether segments grow in this store by chunks, so that any process can end them. */
export function growsByChunks(store: ObjectStore): boolean {
  return store.fileOf(`${rawActive(coinbase.name)}x`) === undefined
}

function rescueDeps(store: ObjectStore, { clock }: CommandContext): RescueDeps {
  return {
    store,
    disk: realDisk,
    clock,
    by: randomBytes(8).toString('hex'),
    software,
    sequenceOf: sequenceNumbers(coinbase),
  }
}

/** Beside other work, until the signal. */
export async function rescueMeanwhile(
  store: ObjectStore,
  context: CommandContext,
  signal: AbortSignal,
): Promise<void> {
  const deps = rescueDeps(store, context)
  const memory: RescueMemory = new Map()
  while (!signal.aborted) {
    try {
      const { rescued, troubles } = await rescueAbandoned(deps, coinbase.name, memory, signal)
      for (const one of rescued) context.output.err(`${rescuedText(one)}\n`)
      for (const one of troubles) tell(one, context)
      await context.clock.sleep(lookEveryMs, signal)
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof VaultError)) throw error
      tell(error, context)
      await context.clock.sleep(lookEveryMs, signal).catch(() => undefined)
    }
  }
}

/** A bucket out of reach is told of by the work beside this; it is asked again at the next look. */
function tell({ kind, message, remedy }: VaultError, { output }: CommandContext): void {
  if (kind === 'unavailable') return
  output.err(`looking for abandoned segments: ${message}${remedy === undefined ? '' : `\n  → ${remedy}`}\n`)
}

/** Watches for as long as no living recorder would be silent, and rescues what did not change. */
export async function rescueNow(store: ObjectStore, context: CommandContext): Promise<Rescue> {
  const deps = rescueDeps(store, context)
  const memory: RescueMemory = new Map()
  const nothing = await rescueAbandoned(deps, coinbase.name, memory, context.signal)
  if (memory.size === 0) return nothing
  context.output.err(`watching ${memory.size} growing segments for ${abandonedAfterMs / 1000} s\n`)
  await context.clock.sleep(abandonedAfterMs, context.signal)
  return rescueAbandoned(deps, coinbase.name, memory, context.signal)
}

export function rescuedText({ recorder, firstN, lines, label }: Rescued): string {
  return `rescued ${label}: ${lines} lines of recorder ${recorder} from ${firstN} on`
}
