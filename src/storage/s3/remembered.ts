/** That a bucket's server stood the whole probe, in a local file: a program started every minute need not send 13 puts every minute. */

import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { S3Connection } from './connection.ts'

const rememberedForMs = 24 * 60 * 60 * 1000

function pathOf(connection: S3Connection, workDir: string): string {
  const place = `${connection.endpointUrl} ${connection.region} ${connection.bucket} ${connection.keyPrefix}`
  return join(workDir, 'probed', createHash('sha256').update(place).digest('hex').slice(0, 16))
}

/** Whether the whole probe was stood within the last day, from this machine. */
export async function wasShared(connection: S3Connection, workDir: string): Promise<boolean> {
  const text = await readFile(pathOf(connection, workDir), 'utf8').catch(() => '')
  const ageMs = connection.clock.nowMs() - Number(text)
  return text !== '' && ageMs >= 0 && ageMs < rememberedForMs
}

/** A folder that cannot be written is told by whoever needs it; here it only means to probe again. */
export async function rememberShared(connection: S3Connection, workDir: string): Promise<void> {
  const path = pathOf(connection, workDir)
  try {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, String(connection.clock.nowMs()))
  } catch {
    return
  }
}
