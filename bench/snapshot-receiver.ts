/** The reference of bench/snapshots.ts: a `ws` client that notes when it reads each frame's bytes. argv: URL. Prints `{"waits":[…]}` as told. */

import { WebSocket } from 'ws'
import { noteOf, type Note } from './snapshot-notes.ts'

const anchor = { wallNs: BigInt(Date.now()) * 1_000_000n, monotonicNs: process.hrtime.bigint() }
const notes: Note[] = []
let readNs = 0n
const socket = new WebSocket(process.argv[2] ?? '', {
  perMessageDeflate: false,
  skipUTF8Validation: true,
  maxPayload: 64 * 1024 * 1024,
})
socket.on('upgrade', (response) =>
  response.socket.prependListener('data', () => {
    readNs = anchor.wallNs + process.hrtime.bigint() - anchor.monotonicNs
  }),
)
socket.on('open', () => socket.send('{"type":"subscribe","channel":"ticker","product_ids":["BTC-USD"]}'))
socket.on('message', (data) => {
  const note = noteOf(data as Buffer, readNs)
  if (note !== null) notes.push(note)
})
process.stdin
  .on('end', () => process.stdout.write(JSON.stringify(notes) + '\n', () => process.exit(0)))
  .resume()
