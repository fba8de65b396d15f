/** The far end of writer-thread.ts. */

import { parentPort, workerData, type Transferable } from 'node:worker_threads'
import { realDisk } from '../storage/disk.ts'
import { limitedDisk } from '../storage/limited-disk.ts'
import { openLocalStore } from '../storage/local.ts'
import { SegmentWriter } from '../segment/writer.ts'
import { systemClock } from './system-clock.ts'
import { memoryOf, type WriterReport, type WriterRequest, type WriterStart } from './writer-thread.ts'

const { baseDir, bytesMax, chunks, options } = workerData as WriterStart
const port = parentPort!

function tell(report: WriterReport, memory: readonly Transferable[] = []): void {
  port.postMessage(report, memory)
}

const store = await openLocalStore(baseDir)
const limit = { folder: baseDir, setting: 'ingestion.spool_max_gb' }
const disk = bytesMax === null ? realDisk : limitedDisk(realDisk, systemClock, { ...limit, bytesMax })
const writer = new SegmentWriter({ store, disk, clock: systemClock }, options, {
  onDurable: (batches, stats) => {
    const buffers = batches.map(({ bytes, records }) => ({ bytes, records }))
    tell({ kind: 'durable', buffers, stats }, buffers.flatMap(memoryOf))
  },
  onStats: (stats) => tell({ kind: 'stats', stats }),
  onTrouble: ({ kind, message, remedy }) => tell({ kind: 'trouble', error: { kind, message, remedy } }),
})

function close(): void {
  void writer.close().then(() => tell({ kind: 'closed' }))
}

chunks.on('message', (request: WriterRequest) => {
  if (request.kind === 'write') writer.write(request.chunk)
  else close()
})

// `stopRequest`: nothing else comes this way.
port.on('message', () => {
  writer.stop()
  close()
})
