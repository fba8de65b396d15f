/** What happens to a world, each with how often it is drawn. Everything heals by itself, or at the end. */

import { faultKinds } from '../../src/simulator/faults.ts'
import type { World } from './world.ts'

export interface Fault {
  readonly name: string
  readonly weight: number
  readonly needsBucket?: true
  strike(world: World): Promise<void> | void
}

const second = 1_000
const minute = 60 * second

function between(world: World, leastMs: number, mostMs: number): number {
  return leastMs + world.random() * (mostMs - leastMs)
}

function until(world: World, leastMs: number, mostMs: number): number {
  return world.timeline.nowMs + between(world, leastMs, mostMs)
}

function anyWorker(world: World) {
  return world.workers[Math.floor(world.random() * world.workers.length)]!.program
}

export const faults: readonly Fault[] = [
  {
    name: 'venue faults',
    weight: 10,
    strike: (world) => {
      for (let i = 0; i < 3; i++)
        world.backend.inject(faultKinds[Math.floor(world.random() * faultKinds.length)]!)
    },
  },
  {
    name: 'venue leaves a frame out',
    weight: 2,
    strike: (world) => void world.backend.inject('drop'),
  },
  {
    name: 'recorder killed',
    weight: 4,
    strike: (world) => world.recorder.program?.die('killed'),
  },
  {
    name: 'recorder killed in a write',
    weight: 4,
    strike: (world) => {
      world.recording.machine.strikeAt.set('write', async () => world.recorder.program?.die('killed'))
    },
  },
  {
    name: 'power lost before a sync',
    weight: 4,
    strike: (world) => {
      const { machine } = world.recording
      machine.strikeAt.set('datasync', () => machine.losePower())
    },
  },
  {
    name: 'recorder stopped in order',
    weight: 2,
    strike: (world) => world.recorder.program?.stopping.abort(new Error('told to stop')),
  },
  {
    name: 'recorder frozen',
    weight: 2,
    strike: (world) => world.recorder.program?.freeze(between(world, second, 90 * second)),
  },
  {
    name: 'converter killed',
    weight: 5,
    strike: (world) => anyWorker(world)?.die('killed'),
  },
  {
    name: 'converter killed at work',
    weight: 5,
    strike: (world) => atWork(world, async () => anyWorker(world)?.die('killed')),
  },
  {
    name: 'converter asleep past its claim',
    weight: 5,
    strike: (world) =>
      atWork(world, async () => anyWorker(world)?.freeze(between(world, 20 * second, 3 * minute))),
  },
  {
    name: 'power lost',
    weight: 3,
    strike: async (world) => {
      // A step of the clock often goes with it: a machine without a battery for it.
      if (world.random() < 0.2) world.recording.machine.wallMs -= between(world, 0, minute)
      await world.recording.machine.losePower()
    },
  },
  {
    name: 'power of the converters lost',
    weight: 1,
    needsBucket: true,
    strike: (world) => world.converting.machine.losePower(),
  },
  {
    name: 'recorder machine lost for ever',
    weight: 1,
    needsBucket: true,
    strike: async (world) => {
      for (const program of world.recording.machine.programs) await program.die('power')
      for (const one of world.lives) one.isDiskLost = true
      world.recording.machine = world.newMachine('recorder')
    },
  },
  {
    name: 'network cut without a word',
    weight: 4,
    strike: (world) => {
      world.network.cutUntilMs = until(world, 2 * second, world.random() < 0.2 ? 10 * minute : 40 * second)
    },
  },
  {
    name: 'requests lost on their way',
    weight: 2,
    strike: (world) => {
      world.network.deafUntilMs = until(world, 5 * second, 40 * second)
      // On a connection that was there before, nothing is asked for.
      world.network.resetAll()
    },
  },
  {
    name: 'connections reset',
    weight: 3,
    strike: (world) => world.network.resetAll(),
  },
  {
    name: 'connects refused',
    weight: 2,
    strike: (world) => {
      world.network.refusesUntilMs = until(world, 5 * second, 3 * minute)
      world.network.resetAll()
    },
  },
  {
    name: 'network stalls',
    weight: 2,
    strike: (world) => {
      world.network.cutUntilMs = until(world, 0.2 * second, 4.5 * second)
    },
  },
  {
    name: 'disk full',
    weight: 3,
    strike: (world) => {
      world.recording.machine.diskFullUntilMs = until(world, 5 * second, 4 * minute)
    },
  },
  {
    name: 'disk takes half a write',
    weight: 2,
    strike: (world) => {
      const { disk } = world.recording.machine
      disk.writeBytesMax = 1 + Math.floor(world.random() * 400)
      world.timeline.at(10 * second, () => {
        disk.writeBytesMax = Number.POSITIVE_INFINITY
      })
    },
  },
  {
    name: 'disk fails to sync',
    weight: 2,
    strike: (world) => {
      world.recording.machine.diskBrokenUntilMs = until(world, 0.5 * second, 20 * second)
    },
  },
  {
    name: 'disk stalls',
    weight: 2,
    strike: (world) => {
      world.recording.machine.diskStallUntilMs = until(world, 5 * second, 2 * minute)
    },
  },
  {
    name: 'clock set forward',
    weight: 2,
    strike: (world) => {
      world.recording.machine.wallMs += between(
        world,
        0.06 * second,
        world.random() < 0.3 ? 90 * minute : 5 * second,
      )
    },
  },
  {
    name: 'clock set back',
    weight: 2,
    strike: (world) => {
      world.recording.machine.wallMs -= between(
        world,
        0.06 * second,
        world.random() < 0.3 ? 90 * minute : 5 * second,
      )
    },
  },
  {
    name: 'leap second repeated',
    weight: 1,
    strike: (world) => {
      world.recording.machine.wallMs -= second
    },
  },
  {
    name: 'bucket away',
    weight: 3,
    needsBucket: true,
    strike: (world) => {
      world.bucket!.outageUntilMs = until(world, 10 * second, 6 * minute)
    },
  },
  {
    name: 'recorder cut off from the bucket',
    weight: 4,
    needsBucket: true,
    strike: (world) => {
      world.recording.machine.cutOffUntilMs = until(world, minute, 8 * minute)
    },
  },
  {
    name: 'bucket answers badly',
    weight: 4,
    needsBucket: true,
    strike: (world) => {
      const { bucket, timeline } = world
      bucket!.moods = { lost: 0.05, landed: 0.08, late: 0.05 }
      timeline.at(between(world, minute, 5 * minute), () => bucket!.calm())
    },
  },
]

/** In the middle of a conversion, if one comes within a few minutes: when a claim has just been made. */
async function atWork(world: World, act: () => Promise<unknown>): Promise<void> {
  const store = world.bucket?.objects ?? (await world.vault())
  for (let i = 0; i < 600; i++) {
    for await (const batch of store.list('raw/processing/', new AbortController().signal))
      if (batch.length > 0) {
        world.count('struck at work')
        return void (await act())
      }
    await world.timeline.wait(0.5 * second)
  }
}

/** Each that is possible once, in any order, then by weight without end. */
export function* drawFaults(world: World): Generator<Fault, never> {
  const possible = faults.filter((fault) => fault.needsBucket !== true || world.bucket !== null)
  const deck = [...possible]
  while (deck.length > 0) yield* deck.splice(Math.floor(world.random() * deck.length), 1)
  for (;;) {
    let left = world.random() * possible.reduce((sum, { weight }) => sum + weight, 0)
    yield possible.find(({ weight }) => (left -= weight) < 0) ?? possible[0]!
  }
}

/** What does not heal by itself. */
export function healAll(world: World): void {
  for (const machine of [world.recording.machine, world.converting.machine]) {
    machine.strikeAt.clear()
    machine.diskFullUntilMs = 0
    machine.diskBrokenUntilMs = 0
    machine.diskStallUntilMs = 0
    machine.cutOffUntilMs = 0
    machine.disk.writeBytesMax = Number.POSITIVE_INFINITY
  }
  world.network.cutUntilMs = 0
  world.network.deafUntilMs = 0
  world.network.refusesUntilMs = 0
  if (world.bucket === null) return
  world.bucket.outageUntilMs = 0
  world.bucket.calm()
}
