/** The table at the end of a run, and whether the run reached what it was to reach. */

import { deedKinds, shortDeeds, type Means } from './plan.ts'
import { groups, type Tally } from './tally.ts'

export interface RunFacts {
  readonly means: Means
  readonly cycles: number
  readonly seed: number
  readonly commit: string
  readonly wallMs: number
}

/** Markdown, so that it can be kept as it is printed. */
export function tableOf(tally: Tally, facts: RunFacts): string {
  const { cycles, seed, commit, wallMs, means } = facts
  const rows: [string, string][] = [
    ['store, seed, commit', `${means.store}, ${seed}, ${commit}`],
    ['cycles', `${cycles} in ${Math.round(wallMs / 1000)} s`],
  ]
  for (const group of groups)
    for (const [name, times] of tally.entries(group))
      rows.push([`${group}: ${name}`, times.toLocaleString('en')])
  rows.push(['**differences**', `**${tally.differences.length}**`])
  return [
    '| what | how often |',
    '| --- | ---: |',
    ...rows.map(([what, times]) => `| ${what} | ${times} |`),
  ].join('\n')
}

/** Fewer cycles than this reach what they reach. */
const cyclesThatReachAll = 60

/** @returns what a run of this length has to reach and did not: it proves nothing of that */
export function unreached(tally: Tally, { means, cycles }: Pick<RunFacts, 'means' | 'cycles'>): string[] {
  if (cycles < cyclesThatReachAll) {
    const isTorn = tally.count('faults injected', 'tear a tail') > 0
    // Which deeds a short run has is drawn: 19 kills may all fall between two writes.
    return reachedAlways(means).filter(
      (name) => tally.count('reached', name) === 0 && (isTorn || name !== 'torn tails cut'),
    )
  }
  const deeds = new Set(shortDeeds(means, means.canMount))
  for (const kind of deedKinds) if (isLong(kind, means)) deeds.add(kind)
  const injected = [...deeds].filter((kind) => tally.count('faults injected', kind) === 0)
  const reached = reachedAlways(means).filter((name) => tally.count('reached', name) === 0)
  const longRun = [
    'watchdogs that hung up',
    'frames over 64 MiB refused',
    ...(means.canStepClock ? ['clock steps recorded'] : []),
  ]
  const rejected = tally.count('compared', 'lines rejected') === 0 ? ['lines rejected'] : []
  return [
    ...injected,
    ...reached,
    ...longRun.filter((name) => tally.count('reached', name) === 0),
    ...rejected,
  ]
}

function isLong(kind: (typeof deedKinds)[number], means: Means): boolean {
  if (kind === 'clock set while running') return means.canStepClock
  if (kind === 'stop recorder until it is rescued') return means.store !== 'local'
  return kind === 'stop worker past its claim' || kind === 'venue frozen, sockets half-open'
}

function reachedAlways({ store }: Means): string[] {
  const always = [
    'segments rotated',
    'torn tails cut',
    'segments recovered from a dead recorder',
    'connections opened again by the same recorder',
  ]
  return store === 'local' ? always : [...always, 'puts tried again']
}
