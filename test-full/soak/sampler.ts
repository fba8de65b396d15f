/**
 * Loaded into a measured `mdv` before its own code (`NODE_OPTIONS=--expose-gc --import`): each of its threads writes down its heap and its event-loop
 * delay at each sample. Nothing of the program is changed but a forced garbage collection now and then, without which the
 * heap of an idle process only shows how long ago its last collection was.
 */

import { appendFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { getHeapSpaceStatistics, getHeapStatistics } from 'node:v8'
import { threadId } from 'node:worker_threads'

/** One line of the file `<MDV_SOAK_SAMPLES>.<thread>`. */
export interface ThreadSample {
  /** Bytes alive after the last forced collection; null before the first. */
  readonly heapBytes: number | null
  readonly externalBytes: number
  /** What V8 holds of the system's memory for its heap, free pages included. */
  readonly committedBytes: number
  /** Of it for new objects, which grows with what survived the busiest moments so far. */
  readonly newSpaceBytes: number
  /** Milliseconds that a timer due now fires late. */
  readonly delayMs: { readonly p50: number; readonly p99: number; readonly max: number }
}

const sampleMs = Number(process.env['MDV_SOAK_SAMPLE_MS'])
const resolutionMs = 10
const samplesPerCollection = Number(process.env['MDV_SOAK_COLLECT_EVERY'])
const path = process.env['MDV_SOAK_SAMPLES']

if (path !== undefined) sampleInto(`${path}.${threadId}`)

function sampleInto(file: string): void {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs })
  delay.enable()
  let samples = 0
  let heapBytes: number | null = null
  // The histogram holds the time from one firing to the next, which is the resolution where nothing is late.
  const lateMs = (ns: number): number => Math.max(0, ns / 1e6 - resolutionMs)
  const sample = (): void => {
    const delayMs = {
      p50: lateMs(delay.percentile(50)),
      p99: lateMs(delay.percentile(99)),
      max: lateMs(delay.max),
    }
    samples++
    if (samples % samplesPerCollection === 0) {
      globalThis.gc?.()
      heapBytes = getHeapStatistics().used_heap_size
    }
    const { external_memory: externalBytes, total_physical_size: committedBytes } = getHeapStatistics()
    const newSpaceBytes =
      getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')?.physical_space_size ?? 0
    const line: ThreadSample = { heapBytes, externalBytes, committedBytes, newSpaceBytes, delayMs }
    appendFileSync(file, JSON.stringify(line) + '\n')
    // After the collection, which is the sampler's own delay and not the program's.
    delay.reset()
  }
  setInterval(sample, sampleMs).unref()
}
