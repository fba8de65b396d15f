/** One cycle: a recorder starts, things happen to it, to the worker, the disk, the bucket and the venue, and it is killed. */

import { setTimeout as sleep } from 'node:timers/promises'
import { unreachable } from '../../src/core/assert.ts'
import type { CyclePlan, Deed } from './plan.ts'
import type { Program } from './programs.ts'
import { tracedBy, type World } from './world.ts'

export async function runCycle(world: World, plan: CyclePlan): Promise<void> {
  await world.thaw(false)
  for (const deed of plan.deeds) await before(world, deed)
  world.keepWorker()
  const recorder = world.startRecorder(
    plan.deeds.flatMap((deed) => (isInRecorder(deed) ? tracedBy(deed) : [])),
  )
  for (const deed of plan.deeds) if (mayEndIt(deed)) excuseAll(world)
  const isEarly = plan.deeds.some(({ kind }) => kind === 'kill recorder as it starts')
  if (isEarly) await sleep(plan.lifeMs)
  else if (await isRecording(recorder)) await live(world, recorder, plan)
  await world.killRecorder()
  for (const deed of plan.deeds) after(world, deed)
}

/** @returns false: it ended before a line was durable */
async function isRecording(recorder: Program): Promise<boolean> {
  try {
    await recorder.process.line(/^durable_n=/)
    return true
  } catch (error) {
    if (recorder.isAlive) throw error // it said nothing for minutes
    return false
  }
}

async function live(world: World, recorder: Program, { lifeMs, deeds, venue }: CyclePlan): Promise<void> {
  const acts = [
    ...deeds.map(async (deed) => {
      await sleep(deed.atMs)
      await during(world, recorder, deed)
    }),
    ...venue.map(async ({ atMs, fault }) => {
      await sleep(atMs)
      await world.strikeVenue(fault)
    }),
  ]
  await Promise.all([...acts, sleep(lifeMs)])
}

const isInRecorder = ({ kind }: Deed): boolean =>
  kind === 'fdatasync fails in recorder' || kind === 'slow fdatasync in recorder'

/** Ends with a code of its own are right then. */
const mayEndIt = ({ kind }: Deed): boolean =>
  kind === 'disk full' || kind === 'disk full at the start' || kind === 'fdatasync fails in recorder'

function excuseAll(world: World): void {
  world.recorder?.excuse()
  for (const worker of world.workers) worker.excuse()
}

/** What has to be so when the recorder starts. */
async function before(world: World, deed: Deed): Promise<void> {
  if (deed.kind === 'disk full at the start') {
    excuseAll(world)
    world.place.fill()
    setTimeout(() => world.place.free(), deed.forMs)
    world.tally.add('faults injected', deed.kind)
  }
  if (deed.kind === 'clock set between runs') world.clock?.set(secondsOf(deed))
  if (deed.kind === 'sync or link fails in worker') {
    await world.killWorkers()
    world.keepWorker(tracedBy(deed))
  }
}

/** Either way, a few seconds or a few minutes: of a quarter of an hour a bucket refuses the signatures. */
function secondsOf({ dice }: Deed): number {
  const sizes = [3, -3, 90, -90, 260, -260]
  return sizes[Math.floor(dice * sizes.length)]!
}

async function during(world: World, recorder: Program, deed: Deed): Promise<void> {
  switch (deed.kind) {
    case 'kill worker':
      await world.killWorkers()
      world.keepWorker()
      break
    case 'stop recorder':
    case 'stop recorder until it is rescued':
      await pauseProgram(recorder, deed.forMs)
      break
    case 'stop worker':
      await pauseProgram(world.keepWorker(), deed.forMs)
      break
    case 'stop worker past its claim':
      world.freezeWorker(deed.forMs)
      break
    case 'disk full':
      world.place.fill()
      await sleep(deed.forMs)
      // Sometimes it is killed on the full disk.
      if (deed.dice < 0.5) world.place.free()
      break
    case 'clock set while running':
      world.clock?.set(secondsOf(deed))
      break
    case 'venue frozen, sockets half-open':
      world.exchange.signal('SIGSTOP')
      await sleep(deed.forMs)
      world.exchange.signal('SIGCONT')
      break
    case 'bucket out of reach':
      world.away(true)
      await sleep(deed.forMs)
      world.away(false)
      break
    case 'bucket fails every second request':
      world.storm(true)
      await sleep(deed.forMs)
      world.storm(false)
      break
    case 'kill recorder as it starts':
    case 'tear a tail':
    case 'disk full at the start':
    case 'fdatasync fails in recorder':
    case 'slow fdatasync in recorder':
    case 'sync or link fails in worker':
    case 'clock set between runs':
      break // done before or after
    default:
      unreachable(deed.kind)
  }
  if (!isCountedElsewhere(deed)) world.tally.add('faults injected', deed.kind)
}

const isCountedElsewhere = ({ kind }: Deed): boolean =>
  kind === 'tear a tail' || kind === 'disk full at the start'

async function pauseProgram(program: Program, forMs: number): Promise<void> {
  program.signal('SIGSTOP')
  await sleep(forMs)
  program.signal('SIGCONT')
}

function after(world: World, deed: Deed): void {
  world.place.free()
  const isTorn = deed.kind === 'tear a tail' && world.tearTail(deed)
  const isStarting = deed.kind === 'kill recorder as it starts'
  if (isTorn || isStarting) world.tally.add('faults injected', deed.kind)
}
