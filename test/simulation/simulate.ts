/** One world from its beginning to its verdict: hours of faults, then peace until everything has come to its end. */

import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { drawFaults, healAll } from './faults.ts'
import { gather, isFence } from './gather.ts'
import { syncZlib } from './sync-zlib.ts'
import { assertAccount, type Accounted } from './verdict.ts'
import { World } from './world.ts'

export interface SimulationOptions {
  readonly hours: number
  /** Between two faults, on average. */
  readonly faultEveryMs?: number
  readonly tracePath?: string | undefined
  /** Called with the world when all is well, before its folder goes. */
  readonly look?: (world: World) => Promise<void>
}

export interface Simulated extends Accounted {
  readonly seed: number
  readonly digest: string
  readonly events: number
  readonly traced: number
  readonly virtualHours: number
  readonly counts: ReadonlyMap<string, number>
}

/** What forgets is the simulation's own doing: the files need no real disk. */
const memory = '/dev/shm'
const peaceMs = 5 * 60_000
const settleMs = 30_000
const lookEveryMs = 10_000
/** Longer than any claim, lease, rest of a failed segment or look for abandoned ones takes to end. */
const drainMsMax = 4 * 3_600_000

/** @throws what was found wrong, with the words that repeat it */
export async function simulate(seed: number, options: SimulationOptions): Promise<Simulated> {
  const folder = await mkdtemp(join(existsSync(memory) ? memory : tmpdir(), 'mdv-simulation-'))
  const undoZlib = syncZlib()
  try {
    const world = new World(seed, folder, options.tracePath)
    world.begin()
    await world.timeline.play(story(world, options))
    const { digest, events, traced, nowMs } = {
      digest: world.timeline.digest(),
      events: world.timeline.events,
      traced: world.timeline.traced,
      nowMs: world.timeline.nowMs,
    }
    const accounted = assertAccount(world, await gather(world))
    await options.look?.(world)
    return {
      seed,
      digest,
      events,
      traced,
      virtualHours: nowMs / 3_600_000,
      counts: world.counts,
      ...accounted,
    }
  } catch (cause) {
    const words = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
    throw new Error(
      `${words}\nTo repeat this run: MDV_SIM_SEED=${seed} MDV_SIM_HOURS=${options.hours} node --test dist/test-full/simulation.test.js`,
      { cause },
    )
  } finally {
    undoZlib()
    await rm(folder, { recursive: true, force: true })
  }
}

async function story(world: World, { hours, faultEveryMs = 40_000 }: SimulationOptions): Promise<void> {
  const { timeline } = world
  await timeline.wait(60_000)
  const untilMs = hours * 3_600_000
  for (const fault of drawFaults(world)) {
    await timeline.wait(-Math.log(1 - world.random()) * faultEveryMs)
    if (timeline.nowMs > untilMs) break
    timeline.trace(`fault: ${fault.name}`)
    world.count(fault.name)
    await fault.strike(world)
  }
  healAll(world)
  await timeline.wait(peaceMs)
  await world.backend.pause()
  await timeline.wait(settleMs)
  await endRecording(world)
  await drained(world)
  await endConverting(world)
}

/** It may have died just now: the next one is told to stop. */
async function endRecording(world: World): Promise<void> {
  const lives = world.lives.length
  await until(world, 'a recorder runs', () => world.recorder.program !== null && world.lives.length >= lives)
  world.end()
  world.recorder.program!.stopping.abort(new Error('told to stop'))
  await until(world, 'the recorder has ended', () => world.recorder.program === null)
}

/** Every segment is converted, also those of a machine that is lost. */
async function drained(world: World): Promise<void> {
  const store = await world.vault()
  await until(world, 'everything is converted', async () => {
    if ((world.bucket?.inFlight ?? 0) > 0) return false
    for (const prefix of ['raw/ready/', 'raw/active/coinbase/segment_'])
      for await (const batch of store.list(prefix, new AbortController().signal))
        for (const { key } of batch) if (!(await isFence(store, key))) return false
    return true
  })
}

async function endConverting(world: World): Promise<void> {
  for (const { program } of world.workers) {
    program?.stopping.abort(new Error('told to stop'))
    await world.timeline.wait(1)
  }
  await until(world, 'the converters have ended', () =>
    world.workers.every(({ program }) => program === null),
  )
  await world.sweep()
}

async function until(world: World, what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const lateMs = world.timeline.nowMs + drainMsMax
  while (!(await holds())) {
    if (world.timeline.nowMs > lateMs) throw new Error(`after hours of peace: not yet that ${what}`)
    await world.timeline.wait(lookEveryMs)
  }
}
