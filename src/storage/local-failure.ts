/** What a file system's errors mean to a vault, and the way out of each. */

import { systemCode, VaultError } from '../core/errors.ts'

/** Nothing of that name is there. */
export function isAbsent(error: unknown): boolean {
  return systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR'
}

const remedies: Readonly<Record<string, string>> = {
  EACCES: 'give this user the right to read and write there, or set storage.base_dir to another folder',
  EPERM: 'give this user the right to read and write there, or set storage.base_dir to another folder',
  EROFS: 'that file system is read-only: mount it writable, or set storage.base_dir to another folder',
  ENOSPC: 'free space on that disk, or set storage.base_dir to another one',
  EDQUOT: 'free space within the quota, or set storage.base_dir to another disk',
  ENOENT:
    'a folder above it is gone or takes none: mount that disk, or set storage.base_dir to another folder',
  ENOTDIR: 'a file stands where a folder should be: move it away, or set storage.base_dir to another folder',
  EEXIST: 'a file stands where a folder should be: move it away, or set storage.base_dir to another folder',
  ELOOP: 'a symbolic link lies inside the vault: replace it by what it points to',
  EISDIR: 'a folder stands where a file should be: move it away',
  ENAMETOOLONG: 'no file can have such a name here: rename the object where it comes from, or leave it out',
}

const transient = new Set(['EMFILE', 'ENFILE', 'EAGAIN', 'EBUSY', 'EIO', 'ETIMEDOUT', 'ESTALE'])

/** A system error as one of ours, with the path and the way out; others pass unchanged. */
export function explain(error: unknown, path: string, verb: string): unknown {
  const code = systemCode(error)
  if (error instanceof VaultError || code === undefined) return error
  const remedy =
    remedies[code] ??
    (transient.has(code)
      ? 'try again; if it stays, look at the disk and the limits of this process'
      : undefined)
  const kind = transient.has(code) ? 'unavailable' : code === 'ENAMETOOLONG' ? 'invalid' : 'preflight'
  return new VaultError(kind, `cannot ${verb} ${path}: ${code}`, {
    cause: error,
    ...(remedy === undefined ? {} : { remedy }),
  })
}
