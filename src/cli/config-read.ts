/** The text of a configuration file. What it says is config-file.ts, which loads the YAML library: 40 ms that only a file is worth. */

import { isUtf8 } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { messageOf, systemCode, VaultError } from '../core/errors.ts'

const fileBytesMax = 1_000_000

/** @throws {VaultError} `config` when the file cannot be read as text; undefined when there is none */
export async function readConfigText(path: string): Promise<string | undefined> {
  const bytes = await readBytes(path)
  if (bytes === undefined) return undefined
  if (bytes.length > fileBytesMax)
    throw new VaultError('config', `${path}: ${bytes.length} bytes are too many for a configuration`)
  if (!isUtf8(bytes) || bytes.includes(0))
    throw new VaultError('config', `${path}: not UTF-8 text`, { remedy: 'save the file as UTF-8' })
  return bytes.toString('utf8')
}

async function readBytes(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
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
  }
}
