/** The two ends of a sync, and what their stores can do beside the common interface. */

import type { ObjectStore } from '../storage/object-store.ts'
import type { UnfinishedUpload } from '../storage/s3/unfinished.ts'
import { isSamePlace, placeName, type Place } from '../storage/place.ts'

/** Where objects come from or go to. Its layers are asked one by one for what a whole vault cannot do. */
export interface SyncEnd {
  readonly store: ObjectStore
  /** The store that holds a key. */
  layer(key: string): Layer
}

export interface Layer {
  readonly store: ObjectStore
  readonly place: Place
}

export function endOf(store: ObjectStore, place: Place): SyncEnd {
  return { store, layer: () => ({ store, place }) }
}

/** @param whole both layers as one store */
export function layeredEnd(whole: ObjectStore, raw: Layer, processed: Layer): SyncEnd {
  return { store: whole, layer: (key) => (key.startsWith('raw/') ? raw : processed) }
}

/** Takes a local file in several parts at once, replacing what is there: for keys seen to be free. The file stays. */
export interface Uploader {
  uploadLarge(path: string, key: string, signal: AbortSignal): Promise<void>
}

/** Has its server fetch an object from another bucket. */
export interface ServerCopier {
  copyFrom(
    source: {
      readonly bucket: string
      readonly fullKey: string
      readonly sizeBytes: number
      readonly sha256: string | null
    },
    key: string,
    signal: AbortSignal,
  ): Promise<void>
}

/** Tells of uploads in parts that were begun and not finished. */
export interface UploadLister {
  staleUploads(
    prefix: string,
    startedBeforeMs: number,
    signal: AbortSignal,
  ): Promise<readonly UnfinishedUpload[]>
  abortUpload(upload: UnfinishedUpload): Promise<void>
}

/** Fetches an object into a local file, several ranges at once. */
export interface Downloader {
  download(
    key: string,
    path: string,
    signal: AbortSignal,
  ): Promise<{ readonly sizeBytes: number; readonly sha256: string }>
}

/** Objects that another server can be told of. */
export interface Addressed {
  readonly bucket: string
  fullKey(key: string): string
}

export function isUploader(store: ObjectStore): store is ObjectStore & Uploader {
  return 'uploadLarge' in store
}

export function isUploadLister(store: ObjectStore): store is ObjectStore & UploadLister {
  return 'staleUploads' in store
}

export function isServerCopier(store: ObjectStore): store is ObjectStore & ServerCopier {
  return 'copyFrom' in store
}

export function isDownloader(store: ObjectStore): store is ObjectStore & Downloader {
  return 'download' in store
}

export function isAddressed(store: ObjectStore): store is ObjectStore & Addressed {
  return 'fullKey' in store && 'bucket' in store
}

/** One server with one key to it: it can copy by itself, also from one region to another. */
export function isSameServer(one: Place, other: Place): boolean {
  if (one.backend !== 's3' || other.backend !== 's3' || one.endpointUrl !== other.endpointUrl) return false
  const [ours, theirs] = [one.credentials, other.credentials]
  if (ours === null || theirs === null) return ours === theirs
  return ours.accessKeyId === theirs.accessKeyId && ours.secretAccessKey.isSame(theirs.secretAccessKey)
}

/** Why these two cannot be synced, or undefined. What lies in a vault's own folders would be copied again and again. */
export function overlap(source: Place, target: Place): string | undefined {
  if (isSamePlace(source, target)) return `${placeName(source)}: is both ends`
  const [one, other] = [root(source), root(target)]
  if (one === undefined || other === undefined || one.server !== other.server) return undefined
  const inside = (inner: string, outer: string): boolean =>
    ['raw/', 'processed/'].some((folder) =>
      `${inner}/`.startsWith(outer === '' ? folder : `${outer}/${folder}`),
    )
  return inside(one.path, other.path) || inside(other.path, one.path)
    ? `${placeName(source)} and ${placeName(target)}: one lies inside the other`
    : undefined
}

function root(place: Place): { readonly server: string; readonly path: string } | undefined {
  return place.backend === 'local'
    ? { server: '', path: place.baseDir.replaceAll('\\', '/').replace(/\/+$/, '') }
    : { server: `${place.endpointUrl ?? 'aws'} ${place.bucket}`, path: place.prefix }
}
