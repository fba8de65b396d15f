/** What a world has to be in the end, and what of it counts: compared with the venue's own account of what it sent. */

import assert from 'node:assert/strict'
import { parseClaimKey } from '../../src/etl/job-claim.ts'
import { parseSegmentLabel } from '../../src/storage/keys.ts'
import { parseJobId } from '../../src/table/part-name.ts'
import { compareWithAccount } from '../../test-full/compare.ts'
import type { RecordedSegment } from '../../test-full/segment-lines.ts'
import type { Gathered } from './gather.ts'
import type { Life } from './recorder.ts'
import type { World } from './world.ts'

export interface Accounted {
  readonly sent: number
  readonly recorded: number
  readonly lost: number
  readonly lines: number
  readonly rejected: number
  readonly segments: number
}

export function assertAccount(world: World, gathered: Gathered): Accounted {
  const { receipts, recorded, rejectedLines } = gathered
  const lines = recorded.reduce((sum, { counters }) => sum + counters.length, 0)
  const receipted = receipts.reduce((sum, receipt) => sum + receipt.lines.total, 0)
  const rejected = receipts.reduce((sum, receipt) => sum + receipt.lines.rejected, 0)
  assert.equal(rejectedLines, rejected, 'rejects are what receipts say')
  assert.equal(lines + rejected, receipted, 'every line is a row or a reject, once')
  assertCounters(gathered)
  for (const life of world.lives) assertPromised(life, recorded)
  const comparison = compareWithAccount(recorded, sentBy(world))
  assert.deepEqual(
    comparison.differences.filter((one) => !isUnsaidEnd(world, one)),
    [],
  )
  assertReceived(world, recorded)
  assertTidy(world, gathered)
  const segments = receipts.reduce((sum, { sources }) => sum + sources.length, 0)
  countWhatCame(world, gathered)
  const { sent, lost } = comparison
  return { sent, recorded: comparison.recorded, lost, lines, rejected, segments }
}

/**
 * A machine that is lost for ever after a sealed segment was published, and before a chunk of the next one was: nothing in the bucket tells
 * that there was more (docs/testing.md). All it had promised is there.
 */
function isUnsaidEnd(world: World, difference: string): boolean {
  const lost = world.lives.filter(({ isDiskLost }) => isDiskLost)
  const isUnsaid =
    difference.endsWith('no open-ended gap says so') &&
    lost.some(({ recorder }) => difference.startsWith(`${recorder}-`))
  if (isUnsaid) world.count('ends that a lost machine left unsaid')
  return isUnsaid
}

/** Of each recorder from 1 on without a hole; also of a rescuer's words, whose recorder is made up. */
function assertCounters({ recorded, rejectedLines }: Gathered): void {
  let holes = 0
  for (const { recorder, counters } of recorded) {
    const missing = counters.at(-1)! - counters.length
    holes += missing
    assert.ok(
      missing <= rejectedLines,
      `${recorder}: ${missing} counters up to ${counters.at(-1)} are nowhere`,
    )
  }
  assert.ok(holes <= rejectedLines, `${holes} counters are nowhere, ${rejectedLines} lines were rejected`)
}

function assertPromised(life: Life, recorded: Gathered['recorded']): void {
  const { recorder, durableN, replicatedN, isDiskLost } = life
  const last = recorded.find((one) => one.recorder === recorder)?.counters.at(-1) ?? 0
  const promised = isDiskLost ? replicatedN : durableN
  const word = isDiskLost ? 'replicated_n' : 'durable_n'
  assert.ok(last >= promised, `${recorder}: ${word} was ${promised}, found is ${last}`)
}

function sentBy({ backend }: World): Parameters<typeof compareWithAccount>[1] {
  return backend.account().connections.map(({ id, clientPort, skipped }) => ({
    port: clientPort,
    skipped,
    frames: backend.framesOf(id),
  }))
}

/** A recorder that came to its own end has everything it was given, but for what it says it had to drop. */
function assertReceived(world: World, recorded: readonly RecordedSegment[]): void {
  const orderly = new Set(
    world.lives.filter((one) => one.isOrderly && !one.isDiskLost).map((one) => one.recorder),
  )
  for (const { recorder, events, frames } of recorded) {
    if (!orderly.has(recorder)) continue
    for (const event of events.filter(({ kind }) => kind === 'connection_opened')) {
      const given = world.network.heard.get(Number(event.body['local_port']))!.frames
      const kept = frames.filter(({ conn }) => conn === event.conn).length
      const isDropped = events.some(
        (one) => one.conn === event.conn && one.kind === 'gap' && one.body['cause'] === 'overflow',
      )
      assert.ok(kept === given || isDropped, `${event.conn}: was given ${given} frames, kept ${kept}`)
    }
  }
}

/** Nothing is left that the documents do not speak of. */
function assertTidy(world: World, { keys, receipts, recorded }: Gathered): void {
  const named = new Set(
    receipts.flatMap((receipt) => [...receipt.parts.map(({ key }) => key), receipt.rejects_key ?? '']),
  )
  const torn = recorded
    .flatMap(({ events }) => events)
    .filter(({ kind, body }) => kind === 'recovered' && body['torn_key'] !== null)
    .map(({ body }) => String(body['torn_key']))
  const converted = new Set(
    receipts.flatMap(({ sources }) => sources.map((one) => `${one.recorder} ${one.first_n}`)),
  )
  const isConverted = (job: string | undefined): boolean => {
    const segment = parseJobId(job ?? '')
    return segment !== undefined && converted.has(`${segment.recorder} ${segment.firstN}`)
  }
  const labels = new Set(receipts.flatMap(({ sources }) => sources.map(({ label }) => label)))
  const isKnown = (key: string): boolean =>
    /^processed\/coinbase\/_(receipts|jobs)\//.test(key) ||
    named.has(key) ||
    torn.some((one) => key.startsWith(one.replace(/\.torn$/, ''))) ||
    // Whoever was lost with a file of which nothing was a segment left only this.
    /^raw\/rejected\/coinbase\/segment_[^/]*\.torn$/.test(key) ||
    // On what is converted, by one that could not let go of it, and that nobody can prove dead: it has run out, and nobody waits for it.
    isConverted(parseClaimKey(key)) ||
    /^raw\/active\/coinbase\/recorder\.\d+\.lease\.json$/.test(key) ||
    (world.etl.archive && labels.has(/\/(segment_[^/.]+)\.ndjson\.(?:zst|gz)$/.exec(key)?.[1] ?? ''))
  assert.deepEqual(
    keys.filter((key) => !isKnown(key)),
    [],
  )
  for (const label of labels) assert.ok(parseSegmentLabel(label) !== undefined, label)
}

function countWhatCame(world: World, { recorded, receipts }: Gathered): void {
  for (const { events } of recorded)
    for (const { kind, body } of events) {
      if (kind === 'gap') world.count(`gap: ${String(body['cause'])}`)
      if (kind === 'disorder') world.count(`disorder: ${String(body['kind'])}`)
      if (kind === 'clock_step' || kind === 'recovered' || kind === 'watchdog') world.count(kind)
    }
  const hours = new Set(receipts.flatMap(({ sources }) => sources.map(({ label }) => label.slice(8, 19))))
  const dates = new Set(receipts.flatMap(({ parts }) => parts.map(({ date }) => date)))
  world.count('hours in labels', hours.size)
  world.count('midnights', dates.size - 1)
  world.count('jobs of several segments', receipts.filter(({ sources }) => sources.length > 1).length)
  for (const machine of new Set([world.recording.machine, world.converting.machine]))
    for (const [what, times] of Object.entries(machine.losses)) world.count(`power took: ${what}`, times)
  for (const [what, times] of Object.entries(world.network.counts)) world.count(`network: ${what}`, times)
  for (const [what, times] of Object.entries(world.bucket?.mishaps ?? {}))
    world.count(`bucket: ${what}`, times)
}
