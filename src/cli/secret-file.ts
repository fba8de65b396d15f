/** Files that hold secrets: nobody but their owner may read them. The rule is one for key files and for a configuration with keys in it. */

import { open, type FileHandle } from 'node:fs/promises'
import { messageOf, VaultError } from '../core/errors.ts'
import { Secret } from '../core/secret.ts'

/** A key in PEM has a few hundred. */
const keyBytesMax = 64 * 1024

/** Whether more than the owner may read or write it. On Windows mode bits mean nothing. */
export function isOpenToOthers(mode: number, platform: NodeJS.Platform = process.platform): boolean {
  return platform !== 'win32' && (mode & 0o077) !== 0
}

/** @param subject what is told of first: `coinbase.api_secret_file: /etc/mdv/key.pem` */
export function openToOthers(subject: string, path: string, mode: number): VaultError {
  return new VaultError(
    'config',
    `${subject} can be read by others (mode ${(mode & 0o777).toString(8).padStart(3, '0')})`,
    { remedy: `chmod 600 ${path}` },
  )
}

/**
 * The text of a key file.
 *
 * @param setting the key of the configuration that names it
 * @throws {VaultError} `config` when it cannot be read, can be read by others or is no key by its size
 */
export async function readKeyFile(setting: string, path: string): Promise<Secret> {
  let file: FileHandle | undefined
  try {
    // Looked at through the handle: what was looked at is what is read.
    file = await open(path, 'r')
    const found = await file.stat()
    if (!found.isFile())
      throw new VaultError('config', `${setting}: ${path} is not a file`, {
        remedy: 'name the file that holds the private key',
      })
    const { mode, size } = found
    if (isOpenToOthers(mode)) throw openToOthers(`${setting}: ${path}`, path, mode)
    if (size > keyBytesMax) throw new VaultError('config', `${setting}: ${path}: ${size} bytes are no key`)
    return new Secret(await file.readFile('utf8'))
  } catch (error) {
    if (error instanceof VaultError) throw error
    throw new VaultError('config', `${setting}: cannot read ${path}: ${messageOf(error)}`, {
      cause: error,
      remedy: 'correct the path, or leave api_key and api_secret_file out: public data needs none',
    })
  } finally {
    await file?.close()
  }
}
