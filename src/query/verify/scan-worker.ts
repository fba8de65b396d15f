/** The far end of scan-threads.ts. */

import { parentPort } from 'node:worker_threads'
import { messageOf, VaultError } from '../../core/errors.ts'
import { fileSha256 } from '../../storage/download.ts'
import { scanSegment, type DigestTask, type ScannedSegment, type SegmentTask } from './scan-task.ts'
import type { ScanReport, ScanRequest } from './scan-threads.ts'

const port = parentPort!
const never = new AbortController().signal

/** Chunks that came and are not taken yet; null: there are no more. */
let chunks: (Buffer | null)[] = []
let wake = (): void => undefined

function tell(report: ScanReport): void {
  port.postMessage(report)
}

async function* arriving(): AsyncGenerator<Buffer> {
  for (;;) {
    while (chunks.length === 0) await new Promise<void>((resolve) => (wake = resolve))
    const chunk = chunks.shift()!
    if (chunk === null) return
    tell({ kind: 'took' })
    yield chunk
  }
}

async function carryOut(task: SegmentTask | DigestTask): Promise<ScannedSegment | string> {
  return task.kind === 'digest' ? fileSha256(task.path) : scanSegment(task, arriving(), never)
}

async function begin(task: SegmentTask | DigestTask): Promise<void> {
  chunks = []
  try {
    tell({ kind: 'done', result: await carryOut(task) })
  } catch (error) {
    const vault = error instanceof VaultError ? { kind: error.kind, remedy: error.remedy } : null
    tell({ kind: 'failed', failure: { vault, message: messageOf(error) } })
  }
}

port.on('message', (request: ScanRequest) => {
  if (request.kind === 'task') void begin(request.task)
  else {
    chunks.push(request.kind === 'end' ? null : Buffer.from(request.bytes.buffer))
    wake()
  }
})
