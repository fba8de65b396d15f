/** Bytes made worse: flips, cuts, repeats, splices with other inputs, and values that JSON readers stumble over. Seeded. */

import type { Random } from '../../src/core/clock.ts'

const sizeMax = 64 * 1024

/** What stands where a value, a name or a piece of a name should be. */
const awkward: readonly string[] = [
  'null',
  'true',
  '{}',
  '[]',
  '""',
  '-1',
  '0',
  '-0',
  '1e400',
  '1.0000000000000000001',
  '9007199254740993',
  '99999999999999999999999999',
  '"\\ud800"',
  '"\\u0000"',
  '"__proto__"',
  '"constructor"',
  '"../../etc/passwd"',
  '"..\\\\..\\\\x"',
  '"%2e%2e/"',
  '"\u2028"',
  '"1970-01-01T00:00:00Z"',
  '"9999-99-99T99:99:99.999999999Z"',
  '[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[',
  '{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":1}}}}}}}}',
  `"${'x'.repeat(3000)}"`,
  '*',
  '&a *a',
  '!!js/function x',
  '\r\n',
  '\u0000',
  '\ufeff',
]

type Mutation = (bytes: Buffer, random: Random, other: Buffer) => Buffer

const mutations: readonly Mutation[] = [
  function flipBit(bytes, random) {
    const out = Buffer.from(bytes)
    if (out.length > 0) out[at(out, random)]! ^= 1 << Math.floor(random() * 8)
    return out
  },
  function setByte(bytes, random) {
    const out = Buffer.from(bytes)
    if (out.length > 0) out[at(out, random)] = [0, 0x0a, 0x22, 0x5c, 0x7f, 0x80, 0xc0, 0xff][at8(random)]!
    return out
  },
  function cutOff(bytes, random) {
    return bytes.subarray(0, at(bytes, random))
  },
  function leaveOut(bytes, random) {
    const [from, until] = range(bytes, random)
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(until)])
  },
  function repeat(bytes, random) {
    const [from, until] = range(bytes, random)
    return Buffer.concat([bytes.subarray(0, until), bytes.subarray(from)])
  },
  function zeroFill(bytes, random) {
    const [from, until] = range(bytes, random)
    return Buffer.from(bytes).fill(0, from, until)
  },
  function splice(bytes, random, other) {
    const [from, until] = range(other, random)
    const place = at(bytes, random)
    return Buffer.concat([bytes.subarray(0, place), other.subarray(from, until), bytes.subarray(place)])
  },
  function replaceValue(bytes, random) {
    const text = bytes.toString('latin1')
    const values = [...text.matchAll(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|true|false|null/g)]
    const chosen = values[Math.floor(random() * values.length)]
    if (chosen === undefined) return bytes
    const value = Buffer.from(awkward[Math.floor(random() * awkward.length)]!)
    const end = chosen.index + chosen[0].length
    return Buffer.concat([bytes.subarray(0, chosen.index), value, bytes.subarray(end)])
  },
  function insertAwkward(bytes, random) {
    const place = at(bytes, random)
    const value = Buffer.from(awkward[Math.floor(random() * awkward.length)]!)
    return Buffer.concat([bytes.subarray(0, place), value, bytes.subarray(place)])
  },
]

function at({ length }: Buffer, random: Random): number {
  return Math.floor(random() * length)
}

function at8(random: Random): number {
  return Math.floor(random() * 8)
}

/** Mostly short. */
function range(bytes: Buffer, random: Random): readonly [from: number, until: number] {
  const from = at(bytes, random)
  const length = Math.floor(random() ** 3 * Math.min(bytes.length, 4096)) + 1
  return [from, Math.min(bytes.length, from + length)]
}

/** One to four things go wrong. */
export function mutate(bytes: Buffer, corpus: readonly Buffer[], random: Random): Buffer {
  let out = bytes
  for (let times = 1 + Math.floor(random() ** 2 * 4); times > 0; times--) {
    const mutation = mutations[Math.floor(random() * mutations.length)]!
    const other = corpus[Math.floor(random() * corpus.length)]!
    const next = mutation(out, random, other)
    if (next.length <= sizeMax) out = next
  }
  return out
}
