/** A folder that is not there yet, for a dry run: it has nothing, and takes nothing. */

import { VaultError } from '../core/errors.ts'
import type { ObjectStore, PutOutcome } from '../storage/object-store.ts'

export function emptyStore(location: string): ObjectStore {
  const refuse = (): Promise<never> =>
    Promise.reject(new VaultError('closed', `${location}: a dry run writes nothing`))
  return {
    location,
    putIfAbsent: (): Promise<PutOutcome> => refuse(),
    publishFile: (): Promise<PutOutcome> => refuse(),
    scratch: (): Promise<string> => refuse(),
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
