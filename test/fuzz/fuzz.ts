/** Tries a target with what its corpus becomes when it is made worse. One that hangs is ended from outside: see fuzz.test.ts. */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { seededRandom } from '../../src/core/random.ts'
import { mutate } from './mutate.ts'
import { judge, type Target } from './targets.ts'

export interface Hole {
  readonly target: string
  readonly why: string
  /** Put it into test/fuzz/corpus as a file `<corpus>-<what it found>`, decoded. */
  readonly base64: string
}

const folder = join('test', 'fuzz', 'corpus')

export function corpusOf({ corpus }: Target): Buffer[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith(`${corpus}-`))
    .sort()
    .map((name) => readFileSync(join(folder, name)))
}

/** @param tell gets each input's number before it is tried @returns the first hole */
export async function fuzz(
  target: Target,
  inputs: number,
  seed: number,
  tell: (input: number) => void,
): Promise<Hole | null> {
  const corpus = corpusOf(target)
  const random = seededRandom(seed)
  for (let input = 0; input < inputs; input++) {
    const seedInput = corpus[input % corpus.length]!
    const bytes = input < corpus.length ? seedInput : mutate(seedInput, corpus, random)
    tell(input)
    const why = await judge(target, bytes)
    if (why !== null) return { target: target.name, why, base64: bytes.toString('base64') }
  }
  return null
}
