/** Kinds of configuration values and how one is read from YAML, the environment or a flag. Pure. */

import { didYouMean } from '../core/nearest.ts'
import { Secret } from '../core/secret.ts'

export type OptionValue = string | number | boolean | null | readonly string[] | Secret

export type ValueType =
  | { readonly kind: 'number'; readonly unit: string; readonly min: number; readonly max: number }
  | { readonly kind: 'integer'; readonly unit: string; readonly min: number; readonly max: number }
  | { readonly kind: 'boolean' }
  | { readonly kind: 'choice'; readonly of: readonly string[] }
  | { readonly kind: 'text' }
  | { readonly kind: 'secret' }
  | { readonly kind: 'path' }
  | { readonly kind: 'url'; readonly protocols: readonly string[] }
  | { readonly kind: 'products' }
  | { readonly kind: 'list'; readonly of: readonly string[]; readonly item: string }

/** `item`: which entry of a list is wrong. */
export type ReadValue =
  | { readonly value: OptionValue }
  | { readonly problem: string; readonly item?: number | undefined }

/** Reads the text of a flag or an environment variable; lists are separated by commas. */
export function readText(type: ValueType, text: string): ReadValue {
  const trimmed = text.trim()
  if (type.kind === 'number' || type.kind === 'integer')
    return readNumber(type, /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(trimmed) ? Number(trimmed) : text)
  if (type.kind === 'products' && trimmed.toLowerCase() === 'all') return { value: 'all' }
  if (type.kind === 'products' || type.kind === 'list') {
    const items = trimmed.replace(/^\[|\]$/g, '').split(',')
    return readPlain(
      type,
      items.map((item) => item.trim()).filter((item) => item !== ''),
    )
  }
  return readPlain(type, trimmed)
}

/** Reads a value as YAML gave it. */
export function readPlain(type: ValueType, given: unknown): ReadValue {
  switch (type.kind) {
    case 'number':
    case 'integer':
      return readNumber(type, given)
    case 'boolean':
      return readBoolean(given)
    case 'choice':
      if (typeof given === 'string' && type.of.includes(given)) return { value: given }
      return {
        problem: `${shown(given)} is not one of ${type.of.join(', ')}${didYouMean(String(given), type.of)}`,
      }
    case 'text':
    case 'path':
      if (typeof given === 'string' && given !== '') return { value: given }
      return { problem: `${shown(given)} is not text` }
    case 'secret':
      // What it is instead is not said: it may be the secret, written wrongly.
      if (typeof given === 'string' && given !== '') return { value: new Secret(given) }
      return { problem: 'is not text' }
    case 'url':
      return readUrl(type.protocols, given)
    case 'products':
      if (given === 'all') return { value: 'all' }
      return readList(given, 'a list like [BTC-USD, ETH-USD], or all', productProblem)
    case 'list':
      return readList(given, `a list like [${type.of.slice(0, 2).join(', ')}]`, (item) =>
        type.of.includes(item)
          ? undefined
          : `unknown ${type.item} "${item}"${didYouMean(item, type.of) || `: one of ${type.of.join(', ')}`}`,
      )
  }
}

/** One product id as Coinbase writes them: `BTC-USD`, `00-USD`, `BIT-31OCT26-CDE`, `BTC-12Jun24-CDE`. */
function productProblem(id: string): string | undefined {
  if (id.length > 64 || !/^[A-Za-z0-9]+(-[A-Za-z0-9]+)+$/.test(id)) {
    const isPair = /^[A-Z0-9]+[/_ ][A-Z0-9]+$/.test(id)
    return `"${id}" is not a product id${isPair ? ` (did you mean "${id.replace(/[/_ ]/, '-')}"?)` : ' like BTC-USD'}`
  }
  // Some have a month in mixed case; none is all in lower case.
  const isLower = id !== id.toUpperCase() && id === id.toLowerCase()
  return isLower ? `product "${id}" is in lower case (did you mean "${id.toUpperCase()}"?)` : undefined
}

function readNumber(type: Extract<ValueType, { kind: 'number' | 'integer' }>, given: unknown): ReadValue {
  const { unit, min, max } = type
  const words = `${type.kind === 'integer' ? 'a whole number' : 'a number'} of ${unit}`
  if (typeof given !== 'number' || !Number.isFinite(given)) {
    const quoted = typeof given === 'string' && given.trim() !== '' && Number.isFinite(Number(given))
    return { problem: `${shown(given)} is not ${words}${quoted ? ' (remove the quotes)' : ''}` }
  }
  if (type.kind === 'integer' && !Number.isInteger(given)) return { problem: `${given} is not ${words}` }
  if (given < min || given > max) return { problem: `${given} is not between ${min} and ${max} ${unit}` }
  return { value: given }
}

const yes = ['true', 'yes', 'on', '1']
const no = ['false', 'no', 'off', '0']

function readBoolean(given: unknown): ReadValue {
  if (typeof given === 'boolean') return { value: given }
  const word = String(given).toLowerCase()
  if (yes.includes(word)) return { value: true }
  if (no.includes(word)) return { value: false }
  return { problem: `${shown(given)} is not true or false` }
}

function readUrl(protocols: readonly string[], given: unknown): ReadValue {
  const words = `a URL that begins with ${protocols.map((protocol) => `${protocol}://`).join(' or ')}`
  if (typeof given !== 'string' || !URL.canParse(given)) return { problem: `${shown(given)} is not ${words}` }
  const url = new URL(given)
  if (!protocols.includes(url.protocol.slice(0, -1)) || url.hostname === '')
    return { problem: `${shown(given)} is not ${words}` }
  if (url.username !== '' || url.password !== '')
    return { problem: `the URL for ${url.host} holds a user name or password: leave them out` }
  return { value: given }
}

function readList(given: unknown, words: string, problemOf: (item: string) => string | undefined): ReadValue {
  if (!Array.isArray(given)) return { problem: `${shown(given)} is not ${words}` }
  if (given.length === 0) return { problem: `the list is empty: give ${words}` }
  for (const [item, value] of given.entries()) {
    const problem = typeof value === 'string' ? problemOf(value) : `${shown(value)} is not text`
    if (problem !== undefined) return { problem, item }
  }
  return { value: [...new Set(given as string[])] }
}

function shown(given: unknown): string {
  if (given !== null && typeof given === 'object') return Array.isArray(given) ? 'a list' : 'a group of keys'
  const text = typeof given === 'string' ? JSON.stringify(given) : String(given)
  return text.length > 80 ? `${text.slice(0, 77)}…` : text
}
