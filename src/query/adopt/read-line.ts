/** One line of another tool's file to the frame it holds and when that was received, or the reason why not. Pure. */

import { isUtf8 } from 'node:buffer'
import { findValue } from './json-span.ts'
import { parseTime, type Mapping } from './mapping.ts'

const quote = 0x22
const openBrace = 0x7b

export type AdoptedLine =
  | { readonly kind: 'frame'; readonly frame: Buffer; readonly recvNs: bigint | null }
  | { readonly kind: 'blank' }
  | { readonly kind: 'reject'; readonly reason: AdoptReject; readonly detail: string }

/** `not_utf8`, `not_json`: the line. `no_frame`: nothing under the mapping's paths. `frame_not_json`: what is there is no JSON object. */
export type AdoptReject =
  | 'not_utf8'
  | 'not_json'
  | 'no_frame'
  | 'frame_not_json'
  | 'bad_time'
  | 'no_time'
  | 'too_long'

/**
 * The frame's bytes are those of the line. `recvNs` is null where the mapping's time is absent (the caller carries the line before's);
 * one that is there and cannot be read is a reject, because a time would be made up.
 */
export function readLine(line: Buffer, mapping: Mapping): AdoptedLine {
  if (!isUtf8(line)) return { kind: 'reject', reason: 'not_utf8', detail: '' }
  const text = line.toString('utf8')
  if (text.trim() === '') return { kind: 'blank' }
  const problem = jsonProblem(text)
  if (problem !== null) return { kind: 'reject', reason: 'not_json', detail: problem }
  const frame = firstFrame(line, mapping)
  if (frame === undefined)
    return {
      kind: 'reject',
      reason: 'no_frame',
      detail: `nothing under ${mapping.raw.map(pathText).join(', ')}`,
    }
  if (frame[0] !== openBrace)
    return { kind: 'reject', reason: 'frame_not_json', detail: frame.toString('utf8', 0, 80) }
  return withTime(line, frame, mapping)
}

function withTime(line: Buffer, frame: Buffer, mapping: Mapping): AdoptedLine {
  for (const path of mapping.recv) {
    const span = findValue(line, path)
    if (span === undefined) continue
    const text = line.toString('utf8', span.from, span.until)
    const recvNs = parseTime(text, mapping.unit)
    if (recvNs !== undefined) return { kind: 'frame', frame, recvNs }
    return { kind: 'reject', reason: 'bad_time', detail: `${pathText(path)} is ${text.slice(0, 80)}` }
  }
  return { kind: 'frame', frame, recvNs: null }
}

function firstFrame(line: Buffer, mapping: Mapping): Buffer | undefined {
  for (const path of mapping.raw) {
    const span = findValue(line, path)
    if (span === undefined) continue
    const bytes = line.subarray(span.from, span.until)
    return bytes[0] === quote ? decoded(bytes) : bytes
  }
  return undefined
}

/** A frame kept as a JSON string: the string's escapes were the other tool's, not the exchange's. What is no JSON inside stays the string. */
function decoded(bytes: Buffer): Buffer {
  const text = JSON.parse(bytes.toString('utf8')) as string
  return jsonProblem(text) === null ? Buffer.from(text, 'utf8') : bytes
}

function jsonProblem(text: string): string | null {
  try {
    JSON.parse(text)
    return null
  } catch (error) {
    if (error instanceof SyntaxError) return error.message
    throw error
  }
}

function pathText(path: readonly string[]): string {
  return path.length === 0 ? 'the line itself' : path.join('.')
}
