/** The rejected lines of a job, read back and checked for being whole. */

import type { ObjectStore } from '../../storage/object-store.ts'
import type { Receipt } from '../../table/receipt.ts'
import { jobError, type Finding, type JobRemedy } from './finding.ts'

export interface RejectedLines {
  readonly counted: readonly { readonly recorder: string; readonly n: number }[]
  /** Lines so damaged that their counter could not be read. */
  readonly withoutCounter: number
}

const noRejects: RejectedLines = { counted: [], withoutCounter: 0 }

interface Reading {
  readonly rejects: RejectedLines
  readonly findings: readonly Finding[]
}

/** As long as a text of this language can be. A batch of which each line is rejected has as many bytes as its segments, some hundred MB. */
const rejectsBytesMax = 500_000_000

export async function readRejects(store: ObjectStore, receipt: Receipt, remedy: JobRemedy): Promise<Reading> {
  const objects = rejectObjects(receipt)
  const readings: Reading[] = []
  for (const { key, lines } of objects) readings.push(await readObject(store, key, lines, remedy))
  const unnamed = receipt.lines.rejected - objects.reduce((total, { lines }) => total + lines, 0)
  return {
    rejects: {
      counted: readings.flatMap(({ rejects }) => rejects.counted),
      withoutCounter: readings.reduce((total, { rejects }) => total + rejects.withoutCounter, 0),
    },
    findings: [
      ...readings.flatMap(({ findings }) => findings),
      ...unnamedLines(receipt.job, unnamed, remedy),
    ],
  }
}

/** A merge names the objects of its sources' jobs. */
function rejectObjects({ rejects_key: key, rejects, lines }: Receipt): NonNullable<Receipt['rejects']> {
  return key === null ? (rejects ?? []) : [{ key, lines: lines.rejected }]
}

function unnamedLines(job: string, lines: number, remedy: JobRemedy): Finding[] {
  if (lines === 0) return []
  return [
    jobError('rejects_missing', job, `has ${lines} rejected lines and names no object with them`, remedy),
  ]
}

async function readObject(
  store: ObjectStore,
  key: string,
  lines: number,
  remedy: JobRemedy,
): Promise<Reading> {
  const info = await store.head(key)
  if (info !== undefined && info.sizeBytes > rejectsBytesMax) {
    const what = `has ${info.sizeBytes} bytes, more than can be looked at`
    return { rejects: noRejects, findings: [jobError('rejects_damaged', key, what, remedy)] }
  }
  const body = info === undefined ? undefined : await store.get(key, rejectsBytesMax)
  if (body !== undefined) return parseRejects(key, body, lines, remedy)
  const lost = jobError('rejects_missing', key, `is not there: ${lines} rejected lines are lost`, remedy)
  return { rejects: noRejects, findings: [lost] }
}

function parseRejects(
  key: string,
  body: Buffer,
  expected: number,
  remedy: JobRemedy,
): { readonly rejects: RejectedLines; readonly findings: readonly Finding[] } {
  const counted: { recorder: string; n: number }[] = []
  const findings: Finding[] = []
  let withoutCounter = 0
  const lines = body.toString('utf8').split('\n').slice(0, -1)
  lines.forEach((text, i) => {
    const line = parseReject(text)
    if (typeof line === 'string')
      findings.push(jobError('rejects_damaged', key, `line ${i + 1}: ${line}`, remedy))
    else if (line.n === null) withoutCounter++
    else counted.push({ recorder: line.recorder, n: line.n })
  })
  if (lines.length !== expected)
    findings.push(
      jobError('rejects_damaged', key, `has ${lines.length} lines, its receipt says ${expected}`, remedy),
    )
  return { rejects: { counted, withoutCounter }, findings }
}

/** @returns what is wrong with it, when it is not a reject as they are written */
function parseReject(text: string): { readonly recorder: string; readonly n: number | null } | string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    if (cause instanceof SyntaxError) return 'is not JSON'
    throw cause
  }
  if (typeof value !== 'object' || value === null) return 'is not an object'
  const { recorder, n, len, text: plain, base64 } = value as Readonly<Record<string, unknown>>
  if (typeof recorder !== 'string' || (n !== null && typeof n !== 'number')) return 'names no line'
  const bytes =
    typeof plain === 'string'
      ? Buffer.byteLength(plain)
      : typeof base64 === 'string'
        ? Buffer.from(base64, 'base64').length
        : null
  if (bytes === null || bytes !== len) return `keeps ${bytes ?? 'no'} bytes of a line that had ${String(len)}`
  return { recorder, n }
}
