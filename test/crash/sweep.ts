/**
 * A program that dies at each of its durable steps: what can be seen then has to be whole, and the end of whoever runs next the same as if
 * nothing had died.
 */

import assert from 'node:assert/strict'
import { forEachAtOnce } from '../../src/core/at-once.ts'
import type { CrashKind } from '../storage/crashing-store.ts'
import type { Stand, StandKind } from './stand.ts'

export interface CrashPoint {
  /** Which durable step is the last, from 1; Infinity: none. */
  readonly at: number
  readonly kind: CrashKind
}

/** What a run did. */
export interface Ran {
  readonly steps: number
  /** Which steps gave a file of a folder its name. */
  readonly published: readonly number[]
  readonly isCrashed: boolean
}

/** One vault for one case. */
export interface World {
  run(point: CrashPoint): Promise<Ran>
  /** What can be seen when the program is dead is whole. */
  assertWhole(): Promise<void>
  /** Whoever comes next does what is left. */
  finish(): Promise<void>
  /** What counts once all is done: the same with and without a crash. */
  state(): Promise<unknown>
}

/** What is undone at the end of a case. */
export interface Cleanup {
  after(undo: () => Promise<unknown> | void): void
}

export interface Scenario {
  readonly program: string
  /** Unique within the program. */
  readonly story: string
  readonly kinds: readonly CrashKind[]
  /** Stands for its program where time is short. */
  readonly isTypical: boolean
  /** How many steps there are depends on what the disk is doing meanwhile: the last ones may not come. */
  readonly stepsVary?: true
  /** Does what was done before, once; every case gets a world of its own from it. */
  begin(stand: Stand, cleanup: Cleanup): Promise<(cleanup: Cleanup) => Promise<World>>
}

export class Undo implements Cleanup {
  readonly #all: (() => Promise<unknown> | void)[] = []

  after(undo: () => Promise<unknown> | void): void {
    this.#all.push(undo)
  }

  async run(): Promise<void> {
    for (const undo of this.#all.splice(0).toReversed()) await undo()
  }
}

export interface Swept {
  readonly steps: number
  /** Cases in which the program died where it was told to. */
  readonly reached: Readonly<Record<CrashKind, number>>
}

export interface SweepOptions {
  /** Of all cases: which are tried. */
  readonly choose: (points: readonly CrashPoint[]) => readonly CrashPoint[]
  readonly casesAtOnce: number
}

/** All cases. */
export const everyCase: SweepOptions = { choose: (points) => points, casesAtOnce: 8 }

/** @returns the first, the last, and some between, so many of each kind */
export function thin(ofEachKind: number): SweepOptions {
  const choose = (points: readonly CrashPoint[]): CrashPoint[] => {
    const kinds = [...new Set(points.map(({ kind }) => kind))]
    return kinds.flatMap((kind) =>
      spread(
        points.filter((point) => point.kind === kind),
        ofEachKind,
      ),
    )
  }
  return { choose, casesAtOnce: 8 }
}

function spread<T>(all: readonly T[], count: number): T[] {
  if (all.length <= count) return [...all]
  return Array.from({ length: count }, (_, i) => all[Math.round((i * (all.length - 1)) / (count - 1))]!)
}

export function caseName(scenario: Scenario, stand: StandKind, { kind, at }: CrashPoint): string {
  return [scenario.program, scenario.story, stand, kind, at].join('/')
}

/** @throws what the first failing case threw, with the words that repeat it */
export async function sweep(scenario: Scenario, stand: Stand, options: SweepOptions): Promise<Swept> {
  const cleanup = new Undo()
  const reached = { landed: 0, lost: 0, half: 0 }
  try {
    const newWorld = await scenario.begin(stand, cleanup)
    const { steps, published, expected } = await runWithoutCrash(newWorld)
    const points = options.choose(
      kindsOn(scenario, stand.kind).flatMap((kind) =>
        (kind === 'half' ? published : upTo(steps)).map((at) => ({ kind, at })),
      ),
    )
    await forEachAtOnce(points, options.casesAtOnce, async (point) => {
      const name = caseName(scenario, stand.kind, point)
      const toRepeat = `MDV_CRASH_CASE='${name}' node --test dist/test-full/crash-${stand.kind}.test.js`
      const isReached = await tryCase(newWorld, point, expected, toRepeat)
      assert.ok(isReached || scenario.stepsVary, `${name}: never came so far`)
      if (isReached) reached[point.kind]++
    })
    return { steps, reached }
  } finally {
    await cleanup.run()
  }
}

type NewWorld = (cleanup: Cleanup) => Promise<World>

async function runWithoutCrash(newWorld: NewWorld) {
  const cleanup = new Undo()
  try {
    const world = await newWorld(cleanup)
    const { steps, published } = await world.run({ at: Number.POSITIVE_INFINITY, kind: 'landed' })
    await world.finish()
    return { steps, published, expected: await world.state() }
  } finally {
    await cleanup.run()
  }
}

async function tryCase(
  newWorld: NewWorld,
  point: CrashPoint,
  expected: unknown,
  toRepeat: string,
): Promise<boolean> {
  const cleanup = new Undo()
  try {
    const world = await newWorld(cleanup)
    const { isCrashed } = await world.run(point)
    await world.assertWhole()
    await world.finish()
    assert.deepEqual(await world.state(), expected)
    return isCrashed
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`${words}\nTo repeat this case: ${toRepeat}`, { cause })
  } finally {
    await cleanup.run()
  }
}

/** A bucket gives an object its only name in one step. */
function kindsOn({ kinds }: Scenario, stand: StandKind): readonly CrashKind[] {
  return stand === 'local' ? kinds : kinds.filter((kind) => kind !== 'half')
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1)
}
