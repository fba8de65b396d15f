/**
 * A venue that only shouts: prepared Coinbase-like ticker frames with consecutive sequence numbers, written to one socket as
 * fast as the receiver takes them. Not a simulator: it is the load of bench/ingest.ts and must never be its limit.
 *
 * argv: FRAMES FRAME_BYTES. Prints `{"port":…}` when ready, then `{"first_ms":…,"last_ms":…,"frames":…}` once all is written.
 */

import { createHash } from 'node:crypto'
import { createServer, type Socket } from 'node:net'

/** Frames in the prepared buffer: a power of ten, so that only a sequence number's leading digits change from pass to pass. */
const framesPerPass = 10_000
/** Frames begin here so that every number has the same width. */
const firstSequence = 1_000_000_000
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

/** RFC 6455 §5.2: a final, unmasked text frame. */
function encodeText(text: string): Buffer {
  const payload = Buffer.from(text)
  const head =
    payload.length < 126
      ? Buffer.of(0x81, payload.length)
      : Buffer.of(0x81, 126, payload.length >> 8, payload.length & 255)
  return Buffer.concat([head, payload])
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

/** Moves every frame on by one pass: only the six digits above the ten-thousands change. */
function advance(prepared: Prepared, pass: number): void {
  const digits = Buffer.from(String(firstSequence + pass * framesPerPass).slice(0, 6))
  for (let i = 0; i < framesPerPass; i++) prepared.bytes.set(digits, prepared.digitsAt[i])
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

function answer(socket: Socket, request: string): void {
  const key = /sec-websocket-key: *(\S+)/i.exec(request)?.[1]
  if (key === undefined) {
    const body = JSON.stringify({
      products: [{ product_id: 'BTC-USD', alias: '', status: 'online', product_type: 'SPOT' }],
      num_products: 1,
    })
    socket.end(
      `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
    )
    return
  }
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  )
  // The acks of whatever is asked come first, so that a recorder's watchdogs rest.
  const ack = { heartbeats: ['heartbeats'], ticker: ['BTC-USD'] }
  const ackFrame = (sequence: number): string =>
    JSON.stringify({
      channel: 'subscriptions',
      timestamp: '2026-06-14T05:35:45Z',
      sequence_num: sequence,
      events: [{ subscriptions: ack }],
    })
  // A recorder paces its subscribes: an ack before the last of them would leave it waiting for one.
  socket.once('data', () =>
    setTimeout(() => {
      // One for each channel: the first answers the older subscribe only.
      for (const sequence of [firstSequence - 2, firstSequence - 1])
        socket.write(encodeText(ackFrame(sequence)))
      void shout(socket)
    }, 1000),
  )
}

const server = createServer((socket) => {
  socket.on('error', () => socket.destroy())
  socket.once('data', (request) => answer(socket, request.toString('latin1')))
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  process.stdout.write(JSON.stringify({ port }) + '\n')
})
process.stdin.on('end', () => process.exit(0)).resume()
