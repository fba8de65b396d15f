/** `GET /v1/replay?from=…&until=…`: what was received, as NDJSON, as fast as the reader takes it. */

import { once } from 'node:events'
import { VaultError } from '../core/errors.ts'
import { readRequest, type AskedReplay } from '../query/replay/request.ts'
import type { ReplayRequest } from '../query/replay/replay.ts'
import type { Answer } from './server.ts'

/** A replay. */
interface Lines extends AsyncDisposable {
  bytes(signal: AbortSignal): AsyncIterable<Buffer>
}

const headers = {
  'content-type': 'application/x-ndjson',
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
}

const keys: readonly (keyof AskedReplay)[] = ['date', 'from', 'until', 'channels', 'products']

/** @param open looks at what there is, before the first byte @param idleMs a reader that takes nothing for so long is gone */
export function replayAnswer(
  open: (request: ReplayRequest, signal: AbortSignal) => Promise<Lines>,
  idleMs: number,
): Answer {
  return async (query, response, signal) => {
    await using replay = await open(
      readRequest(askedOf(query), (key) => `${key}=`),
      signal,
    )
    for await (const bytes of replay.bytes(signal)) {
      if (!response.headersSent) response.writeHead(200, headers)
      if (response.write(bytes)) continue
      response.setTimeout(idleMs)
      await once(response, 'drain', { signal })
      response.setTimeout(0)
    }
    if (!response.headersSent) response.writeHead(200, headers)
    // Of the last bytes too; kept-alive sockets have a time of their own.
    response.setTimeout(idleMs)
  }
}

function askedOf(query: URLSearchParams): AskedReplay {
  const asked: Record<string, string> = {}
  for (const [name, value] of query) {
    const key = keys.find((one) => one === name)
    if (key === undefined)
      throw new VaultError('usage', `${name}=: not a question`, { remedy: `there are ${keys.join(', ')}` })
    if (asked[key] !== undefined)
      throw new VaultError('usage', `${key}=: twice`, { remedy: `write ${key}=A,B, or ask twice` })
    asked[key] = value
  }
  return asked
}
