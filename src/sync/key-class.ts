/** What a key is to somebody who copies a vault: in which order it goes over, and what stays behind. Pure. */

/**
 * `data`: segments, parts, rejects, archives: first, in any order · `record`: bindings, plans, adoptions: then, they point to each other ·
 * `receipt`: last, it names data · `active`: a segment that may be growing · `own`: leases, claims and strangers: of one place and moment.
 */
export type KeyClass = 'data' | 'record' | 'receipt' | 'active' | 'own'

/** All that a sync ever lists, and so all it can remove. */
export const vaultPrefixes: readonly string[] = ['processed/', 'raw/']

export function classifyKey(key: string): KeyClass {
  if (/\.(?:lease|claim)\.json$/.test(key)) return 'own'
  if (/^raw\/(?:ready|rejected|archive)\/./.test(key)) return 'data'
  if (/^raw\/active\/./.test(key)) return 'active'
  if (/^processed\/[^/]+\/_receipts\//.test(key)) return 'receipt'
  if (/^processed\/[^/]+\/_(?:jobs|adopted)\//.test(key)) return 'record'
  return /^processed\/[^/]+\/./.test(key) ? 'data' : 'own'
}

/** `coinbase` of `processed/coinbase/…`. */
export function venueOf(key: string): string | undefined {
  return /^processed\/([^/]+)\//.exec(key)?.[1]
}
