/** The demo's report: three accounts of the same frames, compared. Pure. */

import { formatBytes } from '../../core/bytes.ts'
import type { VaultFacts } from './facts.ts'
import type { SentAccount } from './pipeline.ts'

export interface DemoResult {
  readonly sent: SentAccount
  /** By the recorder's own counter. */
  readonly recordedLines: number
  readonly recordedSeconds: number
  readonly segmentsLeft: number
  readonly facts: VaultFacts
}

export interface Equality {
  readonly holds: boolean
  readonly words: string
}

/** Everything that must agree. */
export function equalities({ sent, recordedLines, segmentsLeft, facts }: DemoResult): Equality[] {
  const frames = framesRecorded(facts)
  const known = frames + facts.framesMissing
  // A gap without an end says that frames are missing, and cannot say how many.
  const isSentKnown = facts.openGaps === 0 ? sent.frames === known : sent.frames >= known
  const lines = facts.linesInRows + facts.rejectedLines
  return [
    {
      holds: isSentKnown,
      words: `frames sent ${count(sent.frames)} = recorded ${count(frames)} + missing in gaps ${count(facts.framesMissing)}${facts.openGaps === 0 ? '' : ` + unknown in ${facts.openGaps} open gaps`}`,
    },
    {
      holds: recordedLines === lines,
      words: `lines written ${count(recordedLines)} = distinct in rows ${count(facts.linesInRows)} + rejected ${count(facts.rejectedLines)}`,
    },
    { holds: segmentsLeft === 0, words: `segments waiting ${segmentsLeft} = 0` },
  ]
}

/** Frames that became rows, or were rejected: everything but the recorder's own events. */
export function framesRecorded(facts: VaultFacts): number {
  return facts.linesInRows - facts.eventsInRows + facts.rejectedLines
}

export function reportText(result: DemoResult, useColor: boolean): string {
  const { sent, recordedSeconds, facts } = result
  const rows = Object.entries(facts.rows).map(([table, n]) => `${table} ${count(n)}`)
  const perSecond = recordedSeconds > 0 ? facts.rawBytes / recordedSeconds : 0
  return [
    `sent       ${count(sent.frames)} frames (${sent.connections === 1 ? 'one connection' : `${sent.connections} connections`}), by the simulator's own account`,
    `recorded   ${count(framesRecorded(facts))} frames and ${facts.eventsInRows} events in ${facts.segments} segments, ${formatBytes(facts.rawBytes)}, ${formatBytes(Math.round(perSecond))}/s`,
    `converted  ${rows.join(' · ')} rows`,
    `rejected   ${count(facts.rejectedLines)} lines`,
    `gaps       ${facts.gaps}, ${count(facts.framesMissing)} frames known missing`,
    `Parquet    ${facts.parts} files, ${formatBytes(facts.parquetBytes)}`,
    ...equalities(result).map((each) => `${mark(each.holds, useColor)} ${each.words}`),
    '',
  ].join('\n')
}

function mark(holds: boolean, useColor: boolean): string {
  const sign = holds ? '✓' : '✗'
  return useColor ? `\u001b[${holds ? 32 : 31}m${sign}\u001b[0m` : sign
}

export function count(n: number): string {
  return n.toLocaleString('en')
}
