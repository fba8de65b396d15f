/** Dials, subscribes with one word and prints what is heard, one line each: for tests that need another process's trust. argv: URL. */

import { dialWebSocket } from '../../src/ingestion/socket.ts'

const socket = dialWebSocket(process.argv[2]!, {
  opened: () => socket.send('hello'),
  read: () => undefined,
  frame: (frame) => process.stdout.write(`frame of ${frame.length}: ${frame.toString('utf8', 0, 20)}\n`),
  closed: (code, detail) => process.stdout.write(`closed ${code} ${detail}\n`),
})
