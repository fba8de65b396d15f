/**
 * A venue that sends small frames all the time and a snapshot of 5 MB among them now and then, for bench/snapshots.ts. Each frame says in
 * `timestamp` when it was handed to the socket. argv: SECONDS. Prints `{"port":…}`, then `{"frames":…}` once all is written.
 */

import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { formatRfc3339Ns } from '../src/core/time.ts'
import { encodeText, firstSequence, serveShouting } from './shouting-venue.ts'

const seconds = Number(process.argv[2] ?? 20)
/** Small frames come in such steps; five in each are 2,500 to 5,000 a second, as timers allow. */
const stepMs = 1
const framesPerStep = 5
const stepsPerSnapshot = 500
const snapshotBytes = 5_000_000
/** With the comma behind it, at the least. */
const levelBytes = 96

const clockNs = (): bigint => BigInt(Date.now()) * 1_000_000n
const anchor = { wallNs: clockNs(), monotonicNs: process.hrtime.bigint() }
const nowText = (): string => formatRfc3339Ns(anchor.wallNs + process.hrtime.bigint() - anchor.monotonicNs)

const levels = Array.from(
  { length: Math.ceil(snapshotBytes / levelBytes) },
  (_, i) =>
    `{"side":"${i % 2 === 0 ? 'bid' : 'offer'}","event_time":"1970-01-01T00:00:00Z","price_level":"${60_000 + i / 100}","new_quantity":"0.05"}`,
).join()

function snapshotText(sequence: number): string {
  return `{"channel":"l2_data","timestamp":"${nowText()}","sequence_num":${sequence},"events":[{"type":"snapshot","product_id":"BTC-USD","updates":[${levels}]}]}`
}

const row = `{"type":"ticker","product_id":"BTC-USD","price":"64281.7","volume_24_h":"3974.98800786","low_24_h":"63454","high_24_h":"64727.27","best_bid":"64281.7","best_ask":"64281.71"}`

function smallText(sequence: number): string {
  return `{"channel":"ticker","timestamp":"${nowText()}","sequence_num":${sequence},"events":[{"type":"update","tickers":[${row}]}]}`
}

serveShouting(async (socket: Socket) => {
  let sequence = firstSequence
  const untilMs = performance.now() + seconds * 1000
  for (let step = 1; performance.now() < untilMs && !socket.destroyed; step++) {
    if (step % stepsPerSnapshot === 0) socket.write(encodeText(snapshotText(sequence++)))
    for (let i = 0; i < framesPerStep; i++) socket.write(encodeText(smallText(sequence++)))
    await sleep(stepMs)
  }
  await new Promise<void>((resolve) => socket.write('', () => resolve()))
  process.stdout.write(JSON.stringify({ frames: sequence - firstSequence }) + '\n')
})
