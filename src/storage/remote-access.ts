/** How another program on this machine reads objects where they lie: an address for each, and what signs its requests. */

import type { ObjectStore } from './object-store.ts'
import type { Credentials } from './place.ts'

export interface RemoteAccess {
  /** `s3://bucket/prefix/key` */
  readonly urlOf: (key: string) => string
  /** What every such address starts with. */
  readonly scope: string
  readonly credentials: Credentials
  readonly region: string
  /** null: AWS. */
  readonly endpointUrl: string | null
  readonly forcePathStyle: boolean
}

/** A store whose objects others can read where they lie. */
export interface RemoteStore extends ObjectStore {
  /** @returns null: the layer with Parquet is none of that kind */
  remoteAccess(): Promise<RemoteAccess | null>
}

/** @returns null: its objects have to be fetched, or are here */
export async function remoteAccessOf(store: ObjectStore): Promise<RemoteAccess | null> {
  return isRemote(store) ? store.remoteAccess() : null
}

function isRemote(store: ObjectStore): store is RemoteStore {
  return 'remoteAccess' in store
}
