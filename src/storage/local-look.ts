/** What is there under a path, without following a link, or nothing. */

import { constants } from 'node:fs'
import { lstat, open, readdir } from 'node:fs/promises'
import { systemCode, VaultError } from '../core/errors.ts'
import { isAbsent } from './local-failure.ts'

/** @throws {VaultError} `preflight` for a symbolic link @returns what else is there */
export async function refuseLink(path: string) {
  const stat = await statOrNothing(path)
  if (stat?.isSymbolicLink() !== true) return stat
  throw new VaultError('preflight', `${path} is a symbolic link inside the vault`, {
    remedy: 'replace it by what it points to, or set storage.base_dir to where that is',
  })
}

export async function openOrNothing(path: string) {
  try {
    return await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0))
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

export async function statOrNothing(path: string) {
  try {
    return await lstat(path)
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

export async function isSameFile(path: string, otherPath: string): Promise<boolean> {
  const [one, other] = await Promise.all([lstat(path, { bigint: true }), lstat(otherPath, { bigint: true })])
  return one.ino === other.ino && one.dev === other.dev
}

export async function entriesOrNone(path: string) {
  try {
    return await readdir(path, { withFileTypes: true })
  } catch (error) {
    // Not ENOTDIR: a file in a folder's place would look like an empty folder, and its segments like none.
    if (systemCode(error) === 'ENOENT') return []
    throw error
  }
}
