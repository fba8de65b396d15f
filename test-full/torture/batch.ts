/** A batch: a fresh vault and exchange, its cycles, and the proof at its end. */

import { inspect } from 'node:util'
import { setTimeout as sleep } from 'node:timers/promises'
import { mdv } from '../processes.ts'
import { runCycle } from './cycle.ts'
import type { BatchPlan, Means } from './plan.ts'
import { prove } from './proof.ts'
import type { Tally } from './tally.ts'
import { World } from './world.ts'

export interface BatchEnd {
  /** Where the vault is kept because of a difference; null: there was none, and it is gone. */
  readonly kept: string | null
}

/**
 * @param onCycle told after each
 * @throws the reason of the signal, once all programs are gone
 */
export async function runBatch(
  plan: BatchPlan,
  means: Means,
  tally: Tally,
  onCycle: () => void,
  signal: AbortSignal,
): Promise<BatchEnd> {
  const differencesBefore = tally.differences.length
  const world = await World.make(plan, means.store, means.canStepClock, tally)
  const isDifferent = (): boolean => tally.differences.length > differencesBefore
  try {
    for (const cycle of plan.cycles) {
      signal.throwIfAborted()
      await runCycle(world, cycle)
      onCycle()
    }
    await drain(world)
    await prove(await gather(world), tally)
  } catch (error) {
    if (signal.aborted) await world.remove(false)
    signal.throwIfAborted()
    tally.differ(`batch ${plan.batch}: ${inspect(error)}`)
  }
  await world.remove(isDifferent())
  return { kept: isDifferent() ? world.place.folder : null }
}

/** Nothing fails any more: last recorders take what there is, end in order, and what waits is converted. */
async function drain(world: World): Promise<void> {
  await world.thaw(true)
  world.store.proxy?.heal()
  world.clock?.set(0)
  world.keepWorker()
  let isInOrder = await recordToTheEnd(world)
  // A stop waits for the bucket a quarter of a minute, for the disk less, and leaves the rest to the next start.
  for (let more = 0; (!isInOrder || world.isWaitingInSpool) && more < 10; more++)
    isInOrder = await recordToTheEnd(world)
  for (const worker of world.workers) if (worker.isAlive) await worker.stop('SIGTERM')
  Object.assign(process.env, world.store.env)
  await removeDeadChunks(world)
  await mdv('etl', '--once', '--archive')
}

/** Of a segment whose recorder died between publishing it and removing its chunks: any later look removes them. */
async function removeDeadChunks(world: World): Promise<void> {
  const chunks = (await world.store.leftovers()).filter((key) => /\/\d{5,}\.ndjson$/.test(key))
  if (chunks.length === 0) return
  world.tally.add('reached', 'chunks of dead recorders removed', chunks.length)
  await mdv('segments', 'recover')
}

async function recordToTheEnd(world: World): Promise<boolean> {
  const recorder = world.startRecorder()
  await recorder.process.line(/^durable_n=/)
  await sleep(500)
  await world.exchange.pause()
  const isInOrder = await recorder.stop('SIGINT')
  world.promised.set(recorder.pid, recorder.durableN)
  return isInOrder
}

async function gather(world: World): Promise<Parameters<typeof prove>[0]> {
  const verified = await mdv('verify', '--deep')
  world.tally.add(
    'compared',
    'frames rebuilt from rows',
    Number(/(\d+) frames rebuilt/.exec(verified.lines.join())?.[1] ?? 0),
  )
  const proxy = world.store.proxy
  for (const [name, times] of proxy?.counts ?? [])
    world.tally.add(
      name === 'puts tried again' ? 'reached' : 'faults injected',
      name === 'puts tried again' ? name : `bucket: ${name}`,
      times,
    )
  return {
    baseDir: await world.store.gather(),
    sent: await world.exchange.sent(),
    promised: world.promised,
    leftovers: await world.store.leftovers(),
  }
}
