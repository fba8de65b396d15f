/** The far end of shipper-thread.ts. */

import { parentPort, workerData } from 'node:worker_threads'
import { Shipper } from '../ingestion/shipper.ts'
import { realDisk } from '../storage/disk.ts'
import { openLocalStore } from '../storage/local.ts'
import { openStore } from '../storage/open.ts'
import { hideCredentials } from '../storage/place.ts'
import { coinbase } from '../venue/coinbase.ts'
import { sequenceNumbers } from '../venue/sequence.ts'
import type { ShipperReport, ShipperRequest, ShipperStart } from './shipper-thread.ts'
import { systemClock } from './system-clock.ts'

const { spoolDir, cacheDir, env, ...start } = workerData as ShipperStart
const place = {
  ...start.place,
  credentials: start.credentials === null ? null : hideCredentials(start.credentials),
}
const port = parentPort!
const tell = (report: ShipperReport): void => port.postMessage(report)
const storeDeps = { clock: systemClock, random: Math.random, env, cacheDir }

const shipper = new Shipper({
  spool: await openLocalStore(spoolDir),
  disk: realDisk,
  venue: coinbase.name,
  clock: systemClock,
  random: Math.random,
  sequenceOf: sequenceNumbers(coinbase),
  openBucket: () => openStore(place, 'write', storeDeps),
  onState: (state) => tell({ kind: 'state', state }),
  onFenced: ({ label }) => tell({ kind: 'fenced', label }),
  onTrouble: ({ kind, message, remedy }) => tell({ kind: 'trouble', error: { kind, message, remedy } }),
})
const stop = new AbortController()
const running = shipper.run(stop.signal)

port.on('message', (request: ShipperRequest) => {
  if (request.kind === 'mark') shipper.mark(request.mark)
  else void drain(request.withinMs)
})

async function drain(withinMs: number): Promise<void> {
  const deadline = new AbortController()
  systemClock.after(withinMs, () => deadline.abort())
  // What was sealed last is among what waits, also when nothing can be shipped any more.
  tell({ kind: 'state', state: await shipper.state() })
  stop.abort()
  await running
  tell({ kind: 'state', state: await shipper.drain(deadline.signal) })
  tell({ kind: 'drained' })
}
