/** A folder that is not there yet, for those who only look: it has nothing, and takes nothing. */

import { VaultError } from '../core/errors.ts'
import type { ObjectStore, PutOutcome } from './object-store.ts'

/** @param scratch a folder for unfinished files, elsewhere; left out: there is none */
export function emptyStore(location: string, scratch?: ObjectStore['scratch']): ObjectStore {
  const refuse = (): Promise<never> =>
    Promise.reject(new VaultError('closed', `${location}: opened to look, and not there`))
  return {
    location,
    putIfAbsent: (): Promise<PutOutcome> => refuse(),
    publishFile: (): Promise<PutOutcome> => refuse(),
    scratch: scratch ?? ((): Promise<string> => refuse()),
    get: () => Promise.resolve(undefined),
    head: () => Promise.resolve(undefined),
    delete: () => Promise.resolve(false),
    // eslint-disable-next-line require-yield
    async *read(key) {
      throw new VaultError('invalid', `${location}/${key}: there is no such object`)
    },
    async *list() {},
    fileOf: () => undefined,
  }
}
