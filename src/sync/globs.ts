/** Which objects a person means by patterns such as `processed/coinbase/level2/**` or `*.parquet`. Pure. */

import { VaultError } from '../core/errors.ts'

export type KeyFilter = (key: string) => boolean

/**
 * What some pattern of `include` matches, or everything where there is none, without what one of `exclude` matches.
 *
 * @throws {VaultError} `usage` for a pattern that can match nothing
 */
export function keyFilter(include: readonly string[], exclude: readonly string[]): KeyFilter {
  const wanted = include.map(compileGlob)
  const unwanted = exclude.map(compileGlob)
  return (key) =>
    (wanted.length === 0 || wanted.some((matches) => matches(key))) &&
    !unwanted.some((matches) => matches(key))
}

/**
 * `*` is any characters of one name, `?` one of them, `**` any number of folders; everything else is itself, brackets and braces too. A
 * pattern without a slash is held against the last name of a key, any other against the whole key; one that ends in a slash is a folder.
 *
 * Time grows with the product of both lengths, whatever the pattern: no regular expression is made of it.
 */
export function compileGlob(pattern: string): KeyFilter {
  if (pattern.includes('\\'))
    throw new VaultError('usage', `pattern ${JSON.stringify(pattern)}: keys have no backslashes`, {
      remedy: 'write it with slashes, from the root of the vault: processed/coinbase/level2/**',
    })
  const whole = pattern.replace(/^\/+/, '').replace(/\/+$/, '/**')
  if (whole === '' || whole.split('/').some((name) => name === '' || name === '.' || name === '..'))
    throw new VaultError('usage', `pattern ${JSON.stringify(pattern)}: matches nothing`, {
      remedy: 'write names from the root of the vault (raw/ready/**), or a file name (*.parquet)',
    })
  if (!pattern.includes('/') && whole !== '**') {
    const name = Array.from(whole)
    return (key) => matchesName(name, Array.from(key.slice(key.lastIndexOf('/') + 1)))
  }
  const names = whole.split('/').map((name) => (name === '**' ? anyFolders : Array.from(name)))
  return (key) =>
    matches(
      names,
      key.split('/').map((name) => Array.from(name)),
      (name) => name === anyFolders,
      matchesName,
    )
}

const anyFolders: readonly string[] = []

function matchesName(pattern: readonly string[], name: readonly string[]): boolean {
  return matches(
    pattern,
    name,
    (wanted) => wanted === '*',
    (wanted, char) => wanted === '?' || wanted === char,
  )
}

/** One wildcard algorithm for characters in a name and names in a path: on a mismatch the last star takes one item more. */
function matches<P, T>(
  pattern: readonly P[],
  items: readonly T[],
  isStar: (one: P) => boolean,
  isMatch: (one: P, item: T) => boolean,
): boolean {
  let p = 0
  let starAt = -1
  let takenUntil = 0
  for (let i = 0; i < items.length;) {
    if (p < pattern.length && isStar(pattern[p]!)) {
      starAt = p++
      takenUntil = i
    } else if (p < pattern.length && isMatch(pattern[p]!, items[i]!)) {
      p++
      i++
    } else if (starAt !== -1) {
      p = starAt + 1
      i = ++takenUntil
    } else return false
  }
  while (p < pattern.length && isStar(pattern[p]!)) p++
  return p === pattern.length
}
