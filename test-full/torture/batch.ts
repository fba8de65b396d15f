/** A batch: a fresh vault and exchange, its cycles, and the proof at its end. */

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

/** @param onCycle told after each */
export async function runBatch(
  plan: BatchPlan,
  means: Means,
  tally: Tally,
  onCycle: (done: number) => void,
): Promise<BatchEnd> {
  const differencesBefore = tally.differences.length
  const world = await World.make(plan, means.store, means.canStepClock, tally)
  const isDifferent = (): boolean => tally.differences.length > differencesBefore
  try {
    for (const [i, cycle] of plan.cycles.entries()) {
      await runCycle(world, cycle)
      onCycle(i + 1)
    }
    await drain(world)
    await prove(await gather(world), tally)
  } catch (error) {
    tally.differ(
      `batch ${plan.batch}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    )
  }
  await world.remove(isDifferent())
  return { kept: isDifferent() ? world.place.folder : null }
}

/** Nothing fails any more: a last recorder takes what there is and ends in order, and what waits is converted. */
async function drain(world: World): Promise<void> {
  await world.thaw(true)
  world.store.proxy?.heal()
  world.clock?.set(0)
  world.keepWorker()
  const last = world.startRecorder()
  await last.process.line(/^durable_n=/)
  await sleep(500)
  await world.exchange.pause()
  await last.stop('SIGINT')
  world.promised.set(last.pid, last.durableN)
  for (const worker of world.workers) if (worker.isAlive) await worker.stop('SIGTERM')
  Object.assign(process.env, world.store.env)
  await mdv('etl', '--once', '--archive')
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
