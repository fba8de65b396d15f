/** Names of folders and objects under the base directory or bucket prefix: the only place that builds them. Pure. */

export const rawActive = (venue: string): string => `raw/active/${venue}/`
export const rawReady = (venue: string): string => `raw/ready/${venue}/`
export const rawProcessing = (venue: string): string => `raw/processing/${venue}/`
export const rawRejected = (venue: string): string => `raw/rejected/${venue}/`
export const rawArchive = (venue: string): string => `raw/archive/${venue}/`
export const processed = (venue: string): string => `processed/${venue}/`
export const jobsPrefix = (venue: string): string => `processed/${venue}/_jobs/`
export const receiptsPrefix = (venue: string): string => `processed/${venue}/_receipts/`
/** Parts of a later generation wait here until the parts they replace are gone; hidden from globs by its underscore. */
export const stagingPrefix = (venue: string): string => `processed/${venue}/_staging/`

/** `segment_20251203T14_00001`: UTC hour of opening and a counter from 1 in each hour. A label, not an identity. */
export function segmentLabel(hour: string, counter: number): string {
  return `segment_${hour}_${String(counter).padStart(5, '0')}`
}

const labelStart = /^segment_(\d{8}T\d{2})_(\d{5,})(?:\.|$)/

/** The hour and counter of a label or of a file name that begins with one; undefined when it is none of ours. */
export function parseSegmentLabel(
  name: string,
): { readonly hour: string; readonly counter: number } | undefined {
  const match = labelStart.exec(name)
  return match === null ? undefined : { hour: match[1]!, counter: Number(match[2]) }
}

/** Oldest first: by hour, then by counter. Such as most are, of five digits, compare as they stand. */
export function compareLabels(a: string, b: string): number {
  if (a.length !== usualLabelLength || b.length !== usualLabelLength) {
    const [one, other] = [parseSegmentLabel(a), parseSegmentLabel(b)]
    if (one !== undefined && one.hour === other?.hour && one.counter !== other.counter)
      return one.counter - other.counter
  }
  return a < b ? -1 : a > b ? 1 : 0
}

const usualLabelLength = segmentLabel('20251203T14', 1).length

export const activeSegmentKey = (venue: string, label: string): string => `${rawActive(venue)}${label}.ndjson`

/** In a bucket a segment grows by chunks: the folder of one, named by its label on the recorder's disk and its identity. */
export const chunkFolder = (venue: string, label: string, recorder: string, firstN: number): string =>
  `${rawActive(venue)}${label}.${recorder}_${firstN}/`

/** @param number from 1; exact ranges of the file in this order */
export const chunkKey = (folder: string, number: number): string =>
  `${folder}${String(number).padStart(5, '0')}.ndjson`

/** Label, recorder and first n of a chunk folder, and the number of a chunk in it; undefined for any other key. */
export function parseChunkKey(key: string):
  | {
      readonly folder: string
      readonly label: string
      readonly recorder: string
      readonly firstN: number
      readonly number: number
    }
  | undefined {
  const match =
    /^(raw\/active\/[^/]+\/(segment_\d{8}T\d{2}_\d{5,})\.([a-z2-7]{10})_(\d{1,16})\/)(\d{5,})\.ndjson$/.exec(
      key,
    )
  if (match === null) return undefined
  const [, folder = '', label = '', recorder = '', firstN, number] = match
  return { folder, label, recorder, firstN: Number(firstN), number: Number(number) }
}

export const readySegmentKey = (venue: string, label: string): string => `${rawReady(venue)}${label}${ending}`

/** The name an object in raw/ready bears, without its ending: a label, where it is one of ours. */
export function readyLabel(venue: string, key: string): string {
  return key.slice(rawReady(venue).length, key.endsWith(ending) ? -ending.length : undefined)
}

const ending = '.ndjson'

/** Whether an object lies where segments wait, under a name that they have. A quarter of what a plan takes, were its key built to be compared. */
export function isReadySegment(venue: string, label: string, key: string): boolean {
  const from = rawReady(venue).length
  return (
    labelStart.test(label) &&
    key.length === from + label.length + ending.length &&
    key.startsWith(rawReady(venue)) &&
    key.startsWith(label, from) &&
    key.endsWith(ending)
  )
}

export const archivedSegmentKey = (
  venue: string,
  date: string,
  label: string,
  ending: 'zst' | 'gz',
): string => `${rawArchive(venue)}date=${date}/${label}.ndjson.${ending}`

/** Binds the segment (recorder, n) to its one job; `generation` 1 is the first plan. */
export function bindingKey(venue: string, recorder: string, n: number, generation: number): string {
  return `${jobsPrefix(venue)}${recorder}_${n}${generation === 1 ? '' : `.g${generation}`}.json`
}

export function receiptKey(venue: string, job: string, generation: number): string {
  return `${receiptsPrefix(venue)}${job}${generation === 1 ? '' : `.g${generation}`}.json`
}

/** The job and generation a receipt's key names. */
export function parseReceiptKey(
  key: string,
): { readonly job: string; readonly generation: number } | undefined {
  const match = /\/_receipts\/([A-Za-z0-9_-]+)(?:\.g([1-9]\d*))?\.json$/.exec(key)
  return match === null
    ? undefined
    : { job: match[1]!, generation: match[2] === undefined ? 1 : Number(match[2]) }
}

export function partitionPrefix(
  venue: string,
  table: string,
  productId: string | null,
  date: string,
): string {
  return `${processed(venue)}${table}/product_id=${productId === null ? '_none' : encodeProductId(productId)}/date=${date}/`
}

/**
 * A product id as a folder name. Upper-case letters, digits, `-`, `.` and `_` stand for themselves; every other byte is
 * percent-encoded, lower case too (file systems that fold case would merge `BTC-12Jun24` and `BTC-12JUN24`), and so is a
 * leading `_` or `.` and a trailing `.`. Readers that follow Hive decode it again.
 *
 * @returns undefined for ids that are empty or longer than 128 bytes encoded: their rows go to `other`, never to a path
 */
export function tryEncodeProductId(id: string): string | undefined {
  const bytes = Buffer.from(id, 'utf8')
  // A lone surrogate becomes U+FFFD in UTF-8: two ids would share a folder.
  if (bytes.toString('utf8') !== id) return undefined
  let encoded = ''
  for (const byte of bytes) {
    const char = String.fromCharCode(byte)
    encoded += /[A-Z0-9._-]/.test(char) ? char : percent(byte)
  }
  encoded = encoded.replace(/^[._]/, (c) => percent(c.charCodeAt(0))).replace(/\.$/, percent(0x2e))
  return encoded === '' || encoded.length > 128 ? undefined : encoded
}

/** The same for an id already known to have a folder name. */
export function encodeProductId(id: string): string {
  const encoded = tryEncodeProductId(id)
  if (encoded === undefined) throw new RangeError(`product id of ${id.length} characters has no folder name`)
  return encoded
}

function percent(byte: number): string {
  return '%' + byte.toString(16).toUpperCase().padStart(2, '0')
}
