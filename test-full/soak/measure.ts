/** What is measured of a process from outside (Linux) and from inside (its sampler), and of a vault's folders. */

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { systemCode } from '../../src/core/errors.ts'
import type { ThreadSample } from './sampler.ts'
import type { Bound } from './slope.ts'

/** A measure's name with its unit, and what it may rise by in an hour. */
export interface Measure {
  readonly name: string
  readonly value: number
  /** Null: it is shown and not judged. */
  readonly bound: Bound | null
}

const megabyte = 1_000_000
/** Of a process that does nothing, 99 in 100 timers fire this late or sooner on a machine that has time. */
const calmMsMax = 15
/** Ticks of /proc/PID/stat in a second, on every Linux there is. */
const ticksPerSecond = 100

/**
 * Bounds are per hour and well below what a leak of one small thing for each segment, frame batch or round makes: an hour has some 700
 * segments, 18,000 flushes and 3,600 ticks, so one kept kilobyte a flush is 18 MB and one kept descriptor a segment 700.
 */
const bounds = {
  // Allocators give pages back late and in no order: less than this is seen between two runs that do the same.
  rss: { share: 0.05, room: 10 },
  // After a forced collection it is steady to some hundred kilobytes.
  heap: { share: 0.05, room: 2 },
  external: { share: 0.1, room: 5 },
  delayMedian: { share: 0.1, room: 0.5 },
  delayTail: { share: 0.25, room: 10 },
  count: { share: 0, room: 2 },
  cpu: { share: 0.25, room: 3 },
  logKb: { share: 0.25, room: 2 },
  scratchMb: { share: 0.1, room: 5 },
} satisfies Record<string, Bound>

/** Memory, descriptors and threads as the system counts them. Empty when the process is gone. */
export function processMeasures(pid: number): Measure[] {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1])
    return [
      { name: 'RSS MB', value: (field('VmRSS') * 1024) / megabyte, bound: bounds.rss },
      { name: 'open files', value: readdirSync(`/proc/${pid}/fd`).length, bound: bounds.count },
      { name: 'threads', value: field('Threads'), bound: bounds.count },
    ]
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ESRCH') return []
    throw error
  }
}

/** Seconds of processor time so far. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

export const cpuMeasure = (percent: number): Measure => ({ name: 'CPU %', value: percent, bound: bounds.cpu })

export const logMeasure = (kilobytesPerMinute: number): Measure => ({
  name: 'log kB/min',
  value: kilobytesPerMinute,
  bound: bounds.logKb,
})

/**
 * What the newest line of each thread's samples says. On a machine shared with others every process is late now and then: an event loop is
 * judged by the samples in which one that does nothing was in time.
 *
 * @param prefix the `MDV_SOAK_SAMPLES` of the process @param idle the newest sample of the one that does nothing
 */
export function threadMeasures(prefix: string, idle: ThreadSample | undefined): Measure[] {
  const found: Measure[] = []
  for (let thread = 0; ; thread++) {
    const sample = lastSample(`${prefix}.${thread}`)
    if (sample === undefined) return found
    const of = thread === 0 ? '' : ` (thread ${thread})`
    if (sample.heapBytes !== null)
      found.push({ name: `heap MB${of}`, value: sample.heapBytes / megabyte, bound: bounds.heap })
    found.push({ name: `external MB${of}`, value: sample.externalBytes / megabyte, bound: bounds.external })
    found.push({ name: `heap committed MB${of}`, value: sample.committedBytes / megabyte, bound: null })
    found.push({ name: `new space MB${of}`, value: sample.newSpaceBytes / megabyte, bound: null })
    found.push(...delayMeasures(sample.delayMs, idle?.delayMs, of))
  }
}

/** Shown in any case, judged where the machine was calm. */
function delayMeasures(
  own: ThreadSample['delayMs'],
  idle: ThreadSample['delayMs'] | undefined,
  of: string,
): Measure[] {
  const shown = { name: `loop delay ms, p99${of}`, value: own.p99, bound: null }
  if (idle === undefined || idle.p99 > calmMsMax) return [shown]
  return [
    shown,
    { name: `loop delay ms, p99, calm${of}`, value: own.p99, bound: bounds.delayTail },
    { name: `loop delay ms, median, calm${of}`, value: own.p50, bound: bounds.delayMedian },
  ]
}

/** Undefined before the first one. */
export function lastSample(file: string): ThreadSample | undefined {
  try {
    const line = readFileSync(file, 'utf8').trimEnd().split('\n').at(-1)
    return JSON.parse(line ?? '') as ThreadSample
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Scratch, temporary files and segments that wait. */
export function vaultMeasures(baseDir: string): Measure[] {
  const scratch = sizesUnder(join(baseDir, '.mdv'))
  const waiting = sizesUnder(join(baseDir, 'raw', 'ready'))
  const total = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0)
  return [
    { name: 'scratch MB', value: total(scratch) / megabyte, bound: bounds.scratchMb },
    { name: 'scratch files', value: scratch.length, bound: bounds.count },
    { name: 'segments waiting', value: waiting.length, bound: bounds.count },
  ]
}

/** Sizes of all files below a folder; what goes away meanwhile is left out. */
export function sizesUnder(folder: string): number[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((entry) =>
      entry.isFile() ? (sizeOf(join(entry.parentPath, entry.name)) ?? []) : [],
    )
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  }
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size
}
