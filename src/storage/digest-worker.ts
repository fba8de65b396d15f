/** The thread behind digest.ts: follows growing files and keeps their SHA-256. Reads what was written, from the page cache. */

import { createHash, type Hash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'

export interface DigestRequest {
  readonly path: string
  readonly until: number
  /** null: only read on. */
  readonly id: number | null
  /** Nothing more will be asked of this file. */
  readonly isLast: boolean
}

export interface DigestAnswer {
  readonly id: number
  readonly sha256: string | null
  readonly problem: string | null
}

const chunk = Buffer.alloc(1024 * 1024)
const files = new Map<string, { hash: Hash; at: number }>()

function readOn(path: string, until: number): Hash {
  const known = files.get(path)
  // A file that is shorter than what was read is another one of the same name.
  const file = known === undefined || known.at > until ? { hash: createHash('sha256'), at: 0 } : known
  files.set(path, file)
  if (file.at === until) return file.hash
  const handle = openSync(path, 'r')
  try {
    while (file.at < until) {
      const size = readSync(handle, chunk, 0, Math.min(chunk.length, until - file.at), file.at)
      if (size === 0) throw new Error(`${path} ends at ${file.at}, before ${until}`)
      file.hash.update(chunk.subarray(0, size))
      file.at += size
    }
  } finally {
    closeSync(handle)
  }
  return file.hash
}

parentPort?.on('message', ({ path, until, id, isLast }: DigestRequest) => {
  if (isLast) {
    files.delete(path)
    return
  }
  let answer: DigestAnswer | null = null
  try {
    const hash = readOn(path, until)
    if (id !== null) answer = { id, sha256: hash.copy().digest('hex'), problem: null }
  } catch (error) {
    // Reading on is asked again with the digest, which then says so.
    files.delete(path)
    if (id !== null) answer = { id, sha256: null, problem: String(error) }
  }
  if (answer !== null) parentPort?.postMessage(answer)
})
