/** The reference of replay: files read one after another through `http`, nothing looked into. `node replay-bare.js FILE …` prints its address. */

import { createReadStream } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'

const paths = process.argv.slice(2)

async function answer(response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  for (const path of paths) await pipeline(createReadStream(path), response, { end: false })
  response.end()
}

const server = createServer((_request, response) => void answer(response))
server.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
})
