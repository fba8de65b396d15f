/** The middle of writer-thread.ts: batches become lines, beside the hashing and writing of those before them. */

import { parentPort, workerData } from 'node:worker_threads'
import { BatchEncoder } from '../segment/encode.ts'
import { memoryOf, type EncoderStart, type EncoderRequest, type WriterRequest } from './writer-thread.ts'

const { writer } = workerData as EncoderStart
const encoder = new BatchEncoder()

parentPort!.on('message', (request: EncoderRequest) => {
  if (request.kind !== 'write') return writer.postMessage(request satisfies WriterRequest)
  const chunk = encoder.encode(request.batch)
  writer.postMessage({ kind: 'write', chunk } satisfies WriterRequest, memoryOf(chunk.batch))
})
