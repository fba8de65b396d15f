/**
 * The exact way from a frame's text to rows, for frames that do not stand as the venue prints them: unknown, doubled or absent
 * fields, values that print otherwise than they were sent. Nothing of the frame is left out. Pure.
 *
 * `extra` is `{"frame":{…},"event":{…},"row":{…}}`, each present when not empty. A key in it stands for all values of that key
 * there, in their order; what the columns hold beside is for reading. `frame` is on the first row of its frame, `event` on the
 * first of its event.
 */

import { floorDivide, formatRfc3339Ns, parseRfc3339Ns } from '../core/time.ts'
import { canonicalDecimal } from './decimal.ts'
import { isJson, listElements, objectMembers, plainString, type Member } from './json-text.ts'
import { shapeOfChannel, type Field, type TableShape } from './shape.ts'

/** A row as texts: columns of the table by name, null where it has none; numbers and instants in their plain print. */
export interface DecodedRow {
  readonly productId: string
  readonly eventIndex: number
  readonly rowIndex: number
  readonly isSnapshot: boolean
  /** Values of the shape's fields by column; decimals in their plain print. */
  readonly values: Readonly<Record<string, string | null>>
  /** The text as sent of each decimal, by column. */
  readonly texts: Readonly<Record<string, string | null>>
  readonly extra: string | null
}

export interface FrameFacts {
  readonly channel: string | null
  readonly exchangeNs: bigint | null
  readonly sequenceNum: bigint | null
  readonly clientId: string | null
}

export type Decoded =
  | {
      readonly kind: 'rows'
      readonly shape: TableShape
      readonly facts: FrameFacts
      readonly rows: readonly DecodedRow[]
    }
  | { readonly kind: 'other'; readonly facts: FrameFacts }
  | { readonly kind: 'reject'; readonly detail: string }

const int64Max = 2n ** 63n - 1n

/** @returns whether a product id can name a folder: rows of others have no place, their frames stay whole */
export type HasFolder = (productId: string) => boolean

/** Decides what becomes of one frame. @param text the bytes of the frame, which are valid UTF-8 */
export function decodeFrame(text: string, hasFolder: HasFolder): Decoded {
  if (!isJson(text)) return { kind: 'reject', detail: 'the frame is not one JSON value' }
  const members = objectMembers(text)
  if (members === undefined) return { kind: 'other', facts: noFacts }
  const frame = new Members(members)
  const facts = readFacts(frame)
  const shape = facts.channel === null ? undefined : shapeOfChannel(facts.channel)
  const rows = shape === undefined ? undefined : rowsOf(frame, shape, hasFolder)
  return shape === undefined || rows === undefined
    ? { kind: 'other', facts }
    : { kind: 'rows', shape, facts, rows }
}

const noFacts: FrameFacts = { channel: null, exchangeNs: null, sequenceNum: null, clientId: null }

/** The members of one object, from which the known ones are taken; what a column does not say whole is left for `extra`. */
class Members {
  readonly #members: readonly Member[]
  readonly #kept = new Set<string>()

  constructor(members: readonly Member[]) {
    this.#members = members
  }

  /** The text of a key that is there once. */
  only(key: string): string | undefined {
    const found = this.#members.filter((one) => one.key === key)
    return found.length === 1 ? found[0]!.text : undefined
  }

  has(key: string): boolean {
    return this.#members.some((one) => one.key === key)
  }

  /** Its column says all of it. */
  said(key: string): void {
    this.#kept.add(key)
  }

  rest(): string | null {
    const rest = this.#members.filter((one) => !this.#kept.has(one.key))
    return rest.length === 0 ? null : `{${rest.map((one) => `"${one.key}":${one.text}`).join()}}`
  }
}

function readFacts(frame: Members): FrameFacts {
  const channel = plain(frame, 'channel') ?? null
  if (channel !== null && shapeOfChannel(channel) !== undefined) frame.said('channel')
  const clientId = plain(frame, 'client_id') ?? null
  if (clientId !== null) frame.said('client_id')
  const sequence = frame.only('sequence_num')
  const sequenceNum = sequence === undefined ? null : toInt64(sequence)
  if (sequenceNum !== null) frame.said('sequence_num')
  const timestamp = plain(frame, 'timestamp')
  const exchangeNs = timestamp === undefined ? null : (parseRfc3339Ns(timestamp) ?? null)
  if (exchangeNs !== null && formatRfc3339Ns(exchangeNs) === timestamp) frame.said('timestamp')
  return { channel, exchangeNs, sequenceNum, clientId }
}

function plain(members: Members, key: string): string | undefined {
  const text = members.only(key)
  return text === undefined ? undefined : plainString(text)
}

/** Digits as a count; null when they would print otherwise or do not fit. */
function toInt64(text: string): bigint | null {
  if (!/^(0|[1-9]\d{0,18})$/.test(text)) return null
  const value = BigInt(text)
  return value > int64Max ? null : value
}

/** @returns undefined when some part of the frame has no row to stand on */
function rowsOf(frame: Members, shape: TableShape, hasFolder: HasFolder): DecodedRow[] | undefined {
  const list = frame.only('events')
  const events = list === undefined ? undefined : listElements(list)
  if (events === undefined || events.length === 0) return undefined
  frame.said('events')
  const frameExtra = frame.rest()
  const rows: DecodedRow[] = []
  for (const [eventIndex, text] of events.entries()) {
    const members = objectMembers(text)
    if (
      members === undefined ||
      !addEvent(rows, new Members(members), { shape, hasFolder, eventIndex, frameExtra })
    )
      return undefined
  }
  return rows
}

function addEvent(
  rows: DecodedRow[],
  event: Members,
  at: {
    readonly shape: TableShape
    readonly hasFolder: HasFolder
    readonly eventIndex: number
    readonly frameExtra: string | null
  },
): boolean {
  const { shape, hasFolder, eventIndex, frameExtra } = at
  const list = event.only(shape.list)
  const elements = list === undefined ? undefined : listElements(list)
  const productId = shape.productIn === 'event' ? product(event, hasFolder) : ''
  if (elements === undefined || elements.length === 0 || productId === undefined || !event.has('type'))
    return false
  event.said(shape.list)
  const type = plain(event, 'type')
  if (type === 'snapshot' || type === 'update') event.said('type')
  const eventExtra = event.rest()
  for (const [rowIndex, text] of elements.entries()) {
    const members = objectMembers(text)
    if (members === undefined) return false
    const row = new Members(members)
    const rowProduct = shape.productIn === 'row' ? product(row, hasFolder) : productId
    if (rowProduct === undefined) return false
    const columns = readColumns(row, shape)
    if (columns === undefined) return false
    const extra = joinExtra(
      eventIndex === 0 && rowIndex === 0 ? frameExtra : null,
      rowIndex === 0 ? eventExtra : null,
      row.rest(),
    )
    rows.push({
      productId: rowProduct,
      eventIndex,
      rowIndex,
      isSnapshot: type === 'snapshot',
      ...columns,
      extra,
    })
  }
  return true
}

/** A product that has a folder. */
function product(members: Members, hasFolder: HasFolder): string | undefined {
  const id = plain(members, 'product_id')
  if (id === undefined || !hasFolder(id)) return undefined
  members.said('product_id')
  return id
}

function readColumns(row: Members, shape: TableShape): Pick<DecodedRow, 'values' | 'texts'> | undefined {
  const values: Record<string, string | null> = {}
  const texts: Record<string, string | null> = {}
  for (const one of shape.fields) {
    if (one.kind === 'product') continue
    // A field without a column cannot say that it is absent.
    if (one.kind === 'fixed' && !row.has(one.name)) return undefined
    const text = plain(row, one.name)
    const value = text === undefined ? null : readValue(one, text)
    if (text !== undefined && value !== null && value === text) row.said(one.name)
    if (one.kind === 'decimal') texts[one.column] = text ?? null
    if (one.kind !== 'fixed') values[one.column] = value
  }
  return { values, texts }
}

/** What the column will hold, printed: equal to the text as sent when nothing is lost. */
function readValue(field: Field, text: string): string | null {
  if (field.kind === 'decimal') return canonicalDecimal(text) ?? null
  if (field.kind === 'id') return toInt64(text)?.toString() ?? null
  if (field.kind === 'fixed') return field.values.includes(text) ? text : null
  if (field.kind !== 'time') return text
  if (text !== lastTime.text) lastTime = { text, value: toMicroseconds(text) }
  return lastTime.value
}

/** Rows of one frame share their time; reading and printing it takes 4 µs. */
let lastTime: { readonly text: string; readonly value: string | null } = { text: '', value: null }

function toMicroseconds(text: string): string | null {
  const ns = parseRfc3339Ns(text)
  if (ns === undefined) return null
  const cut = floorDivide(ns, 1000n) * 1000n
  // The first instants that 64 bits of nanoseconds hold have no whole microsecond before them that they hold too.
  return BigInt.asIntN(64, cut) === cut ? formatRfc3339Ns(cut) : null
}

/** Objects of members that have no column, as `extra` holds them; null: nothing is left. */
export function joinExtra(frame: string | null, event: string | null, row: string | null): string | null {
  const parts = [
    frame === null ? '' : `"frame":${frame}`,
    event === null ? '' : `"event":${event}`,
    row === null ? '' : `"row":${row}`,
  ].filter((part) => part !== '')
  return parts.length === 0 ? null : `{${parts.join()}}`
}
