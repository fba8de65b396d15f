/** The reference of bench/ingest.ts: a `ws` client that takes frames and drops them. argv: URL FRAMES. Prints `{"done_ms":…}` at the last. */

import { WebSocket } from 'ws'

const url = process.argv[2] ?? ''
const frames = Number(process.argv[3] ?? 0)
const socket = new WebSocket(url, {
  perMessageDeflate: false,
  skipUTF8Validation: true,
  maxPayload: 64 * 1024 * 1024,
})
// Two acks come first.
let received = -2
socket.on('open', () => socket.send('{"type":"subscribe","channel":"ticker","product_ids":["BTC-USD"]}'))
socket.on('message', () => {
  if (++received === frames) process.stdout.write(JSON.stringify({ done_ms: Date.now() }) + '\n')
})
process.stdin.on('end', () => process.exit(0)).resume()
