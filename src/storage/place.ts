/** Where objects are kept, as the configuration says it. Plain values; open.ts makes a store of them. */

import { Secret } from '../core/secret.ts'

export interface LocalPlace {
  readonly backend: 'local'
  /** Absolute. */
  readonly baseDir: string
}

/** What signs requests to a bucket. */
export interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: Secret
  readonly sessionToken: Secret | null
}

/** The same as plain text: what the SDK, a thread or a child takes. */
export interface PlainCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string | null
}

export function revealCredentials({
  accessKeyId,
  secretAccessKey,
  sessionToken,
}: Credentials): PlainCredentials {
  return {
    accessKeyId,
    secretAccessKey: secretAccessKey.reveal(),
    sessionToken: sessionToken?.reveal() ?? null,
  }
}

export function hideCredentials({
  accessKeyId,
  secretAccessKey,
  sessionToken,
}: PlainCredentials): Credentials {
  return {
    accessKeyId,
    secretAccessKey: new Secret(secretAccessKey),
    sessionToken: sessionToken === null ? null : new Secret(sessionToken),
  }
}

/** A bucket, of AWS or of a server that speaks its protocol. */
export interface S3Place {
  readonly backend: 's3'
  readonly bucket: string
  /** Without slashes at its ends; empty: keys begin at the bucket's root. */
  readonly prefix: string
  /** null: from the environment or the bucket itself. */
  readonly region: string | null
  /** null: AWS. */
  readonly endpointUrl: string | null
  readonly forcePathStyle: boolean
  /** null: the chain of AWS (environment, profile, SSO, web identity, container, instance role). */
  readonly credentials: Credentials | null
  /** The server need not honour conditional writes: one process at a time is promised to work here. */
  readonly singleWriter: boolean
}

export type Place = LocalPlace | S3Place

/** Two layers that are one store, however they were written down. */
export function isSamePlace(one: Place, other: Place): boolean {
  if (one.backend === 'local' || other.backend === 'local')
    return one.backend === 'local' && other.backend === 'local' && one.baseDir === other.baseDir
  return one.bucket === other.bucket && one.prefix === other.prefix && one.endpointUrl === other.endpointUrl
}

/** For people: a folder or a URL. */
export function placeName(place: Place): string {
  return place.backend === 'local'
    ? place.baseDir
    : `s3://${place.bucket}${place.prefix === '' ? '' : `/${place.prefix}`}`
}
