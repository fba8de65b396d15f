/** The text of a configuration file. What it says is config-file.ts, which loads the YAML library: 40 ms that only a file is worth. */

import { isUtf8 } from 'node:buffer'
import { open, type FileHandle } from 'node:fs/promises'
import { messageOf, systemCode, VaultError } from '../core/errors.ts'

const fileBytesMax = 1_000_000

export interface ConfigText {
  readonly text: string
  /** Permission bits of the file. */
  readonly mode: number
}

/** @throws {VaultError} `config` when the file cannot be read as text; undefined when there is none */
export async function readConfigText(path: string): Promise<ConfigText | undefined> {
  const read = await readBytes(path)
  if (read === undefined) return undefined
  const { bytes, mode } = read
  if (bytes.length > fileBytesMax)
    throw new VaultError('config', `${path}: ${bytes.length} bytes are too many for a configuration`)
  if (!isUtf8(bytes) || bytes.includes(0))
    throw new VaultError('config', `${path}: not UTF-8 text`, { remedy: 'save the file as UTF-8' })
  return { text: bytes.toString('utf8'), mode }
}

async function readBytes(
  path: string,
): Promise<{ readonly bytes: Buffer; readonly mode: number } | undefined> {
  let file: FileHandle | undefined
  try {
    file = await open(path, 'r')
    const { mode } = await file.stat()
    return { bytes: await file.readFile(), mode }
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT') return undefined
    if (code === 'EISDIR') throw new VaultError('config', `${path}: a folder, not a file`, { cause: error })
    if (code === 'ENOTDIR')
      throw new VaultError('config', `${path}: a part of this path is not a folder`, { cause: error })
    if (code === 'EACCES' || code === 'EPERM')
      throw new VaultError('config', `${path}: this user may not read it`, {
        cause: error,
        remedy: 'change its permissions or run as its owner',
      })
    throw new VaultError('config', `${path}: ${messageOf(error)}`, { cause: error })
  } finally {
    await file?.close()
  }
}
