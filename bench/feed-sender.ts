/**
 * A venue that only shouts: prepared Coinbase-like ticker frames with consecutive sequence numbers, written to one socket as
 * fast as the receiver takes them. Not a simulator: it is the load of bench/ingest.ts and must never be its limit.
 *
 * argv: FRAMES FRAME_BYTES. Prints `{"port":…}` when ready, then `{"first_ms":…,"last_ms":…,"frames":…}` once all is written.
 */

import type { Socket } from 'node:net'
import { encodeText, firstSequence, serveShouting } from './shouting-venue.ts'

/** Frames in the prepared buffer: a power of ten, so that only a sequence number's leading digits change from pass to pass. */
const framesPerPass = 10_000
const frameBytes = Number(process.argv[3] ?? 630)
const frames = Math.ceil(Number(process.argv[2] ?? 1_000_000) / framesPerPass) * framesPerPass

interface Prepared {
  readonly bytes: Buffer
  /** Where each frame's ten digits begin. */
  readonly digitsAt: Int32Array
}

function frameText(sequence: number): string {
  const row = `{"type":"ticker","product_id":"BTC-USD","price":"64281.7","volume_24_h":"3974.98800786","low_24_h":"63454","high_24_h":"64727.27","low_52_w":"59073.01","high_52_w":"126296","price_percent_chg_24_h":"1.21471769193719","best_bid":"64281.7","best_ask":"64281.71","best_bid_quantity":"0.21558849","best_ask_quantity":"0.02287045"}`
  const head = `{"channel":"ticker","timestamp":"2026-06-14T05:35:45.435813533Z","sequence_num":${sequence},"events":[{"type":"update","tickers":[`
  const rows = Math.max(1, Math.floor((frameBytes - head.length - 4) / (row.length + 1)))
  const body = Array.from({ length: rows }, () => row).join(',')
  const open = `${head}${body}]}],"p":"`
  return `${open}${'x'.repeat(Math.max(0, frameBytes - open.length - 2))}"}`
}

function prepare(): Prepared {
  const encoded = Array.from({ length: framesPerPass }, (_, i) => encodeText(frameText(firstSequence + i)))
  const digitsAt = new Int32Array(framesPerPass)
  let offset = 0
  encoded.forEach((frame, i) => {
    digitsAt[i] = offset + frame.indexOf(String(firstSequence + i))
    offset += frame.length
  })
  return { bytes: Buffer.concat(encoded), digitsAt }
}

/**
 * Moves every frame on by one pass: only digits above the ten-thousands change, and of those mostly the last. The load should take as
 * little as it can of the processor that it shares with the receiver.
 */
function advance(prepared: Prepared, pass: number): void {
  const { bytes, digitsAt } = prepared
  const digits = Buffer.from(String(firstSequence + pass * framesPerPass).slice(0, 6))
  for (let k = 0; k < digits.length; k++) {
    const digit = digits[k]!
    if (bytes[digitsAt[0]! + k] === digit) continue
    for (let i = 0; i < framesPerPass; i++) bytes[digitsAt[i]! + k] = digit
  }
}

async function shout(socket: Socket): Promise<void> {
  const buffers = [prepare(), prepare()] as const
  const firstMs = Date.now()
  let flushed = Promise.resolve()
  for (let pass = 0; pass < frames / framesPerPass; pass++) {
    const prepared = buffers[(pass % 2) as 0 | 1]
    advance(prepared, pass)
    const before = flushed
    flushed = new Promise((resolve) => socket.write(prepared.bytes, () => resolve()))
    // One buffer is with the kernel while the other is changed.
    await before
    if (socket.destroyed) return
  }
  await flushed
  process.stdout.write(JSON.stringify({ first_ms: firstMs, last_ms: Date.now(), frames }) + '\n')
}

serveShouting(shout)
