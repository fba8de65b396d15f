/** What a configuration file says: every value with its line and column, every problem with its place. Nothing is merged here. */

import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type Alias,
  type Document,
  type Pair,
  type YAMLMap,
} from 'yaml'
import { didYouMean } from '../core/nearest.ts'
import { optionSpecs, sections, type OptionSpec } from './options.ts'
import { readPlain, type OptionValue } from './option-value.ts'

export interface FileValue {
  readonly value: OptionValue
  /** `config/config.yaml:7:3`. */
  readonly origin: string
}

export interface ConfigFile {
  readonly values: ReadonlyMap<string, FileValue>
  /** One line each, with place and way out. */
  readonly problems: readonly string[]
}

/** Keys as a tree: a leaf is an option, an inner node a group of them. */
type KeyTree = Map<string, KeyTree | OptionSpec>

const keyTree = makeKeyTree()

function makeKeyTree(): KeyTree {
  const root: KeyTree = new Map()
  for (const spec of optionSpecs) {
    const keys = spec.path.split('.')
    let tree = root
    for (const key of keys.slice(0, -1)) {
      const next = tree.get(key) ?? new Map()
      tree.set(key, next)
      tree = next as KeyTree
    }
    tree.set(keys.at(-1)!, spec)
  }
  return root
}

/** @param name how the file is called in messages */
export function parseConfig(name: string, text: string): ConfigFile {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true })
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `${name}:${line}:${col}`
  }
  const faults = [...document.errors, ...document.warnings]
  if (faults.length > 0) {
    const problems = faults.map((fault) => {
      const words = isNearSecret(text, fault.pos[0]) ? hiddenLine : syntaxWords(fault, text)
      return `${place(fault.pos[0])} ${words}`
    })
    return { values: new Map(), problems }
  }
  const loose = looseAliases(document).map(({ source, range }) => {
    const at = range?.[0] ?? 0
    const words = isNearSecret(text, at) ? hiddenLine : `*${source}: nothing is named &${source} before it`
    return `${place(at)} ${words}`
  })
  if (loose.length > 0) return { values: new Map(), problems: loose }
  const reader = new FileReader(document, place)
  reader.readRoot()
  return reader
}

const secretKeys = optionSpecs
  .filter(({ type }) => type.kind === 'secret')
  .map(({ path }) => path.slice(path.lastIndexOf('.') + 1))

const hiddenLine = 'not valid YAML; it is not shown, because it is beside a secret: put that in quotes'

/** Words about a fault quote what stands there: in the line of a secret, or the one below, that may be the secret. */
function isNearSecret(text: string, offset: number): boolean {
  const lines = text.slice(0, offset).split('\n').length
  const near = text.split('\n').slice(Math.max(0, lines - 2), lines)
  return near.some((line) => secretKeys.some((key) => line.includes(key)))
}

/** An alias of nothing would mean the default, without a word. */
function looseAliases(document: Document): Alias[] {
  const found: Alias[] = []
  visit(document, {
    Alias: (_key, alias) => {
      if (alias.resolve(document) === undefined) found.push(alias)
    },
  })
  return found
}

function syntaxWords(fault: { code: string; message: string; pos: [number, number] }, text: string): string {
  const message = fault.message.split('\n')[0]!.replace(/\.$/, '')
  const word = /^[\w.-]+/.exec(text.slice(fault.pos[0]))?.[0]
  if (fault.code === 'DUPLICATE_KEY') return `duplicate key "${word ?? ''}": keep one of them`
  if (fault.code === 'MULTIPLE_DOCS') return 'a second document begins here: keep one of them, without "---"'
  if (fault.code === 'TAB_AS_INDENT') return 'a tab as indentation: use spaces'
  return `not valid YAML: ${message.charAt(0).toLowerCase()}${message.slice(1)}`
}

class FileReader implements ConfigFile {
  readonly values = new Map<string, FileValue>()
  readonly problems: string[] = []
  readonly #document: Document
  readonly #place: (offset: number) => string

  constructor(document: Document, place: (offset: number) => string) {
    this.#document = document
    this.#place = place
  }

  readRoot(): void {
    const root = this.#document.contents
    if (root === null || (isScalar(root) && root.value === null)) return
    if (isMap(root)) this.#readMap(root, keyTree, '')
    else this.#problem(root, '', `expected the sections ${sections.join(', ')}`)
  }

  #readMap(map: YAMLMap, tree: KeyTree, path: string): void {
    for (const pair of map.items) this.#readPair(pair, tree, path)
  }

  #readPair(pair: Pair, tree: KeyTree, path: string): void {
    const key = isScalar(pair.key) ? String(pair.key.value) : ''
    const known = tree.get(key)
    if (known === undefined) {
      this.#problem(pair.key, path, `unknown key "${key}"${suggestion(key, tree, path)}`)
      return
    }
    const node = isAlias(pair.value) ? pair.value.resolve(this.#document) : pair.value
    // A key without a value means its default, as in a file whose lines were emptied rather than removed.
    if (node === null || node === undefined || (isScalar(node) && node.value === null)) return
    const keyPath = path === '' ? key : `${path}.${key}`
    if (!(known instanceof Map)) this.#readOption(known, node, pair.value)
    else if (isMap(node)) this.#readMap(node, known, keyPath)
    else this.#problem(pair.value, keyPath, `expected keys below it: ${[...known.keys()].join(', ')}`)
  }

  #readOption(spec: OptionSpec, node: unknown, at: unknown): void {
    const read = readPlain(spec.type, plainOf(node, this.#document))
    if ('value' in read) {
      this.values.set(spec.path, { value: read.value, origin: this.#place(offsetOf(at)) })
      return
    }
    const item = isSeq(node) && read.item !== undefined ? node.items[read.item] : at
    this.#problem(item, spec.path, read.problem)
  }

  #problem(node: unknown, path: string, words: string): void {
    this.problems.push(`${this.#place(offsetOf(node))} ${path === '' ? '' : `${path}: `}${words}`)
  }
}

/** A scalar, or a list of them. Nothing is deeper: aliases of lists in lists would grow without bound. */
function plainOf(node: unknown, document: Document): unknown {
  return isSeq(node) ? node.items.map((item) => shallow(item, document)) : shallow(node, document)
}

function shallow(node: unknown, document: Document): unknown {
  const target = isAlias(node) ? node.resolve(document) : node
  if (isScalar(target)) return target.value
  return isSeq(target) ? [] : {}
}

function offsetOf(node: unknown): number {
  const range = (node as { readonly range?: readonly number[] | null } | null)?.range
  return range?.[0] ?? 0
}

/** A key near by, or the same key in the section where it belongs. */
function suggestion(key: string, tree: KeyTree, path: string): string {
  const here = didYouMean(key, tree.keys())
  if (here !== '') return here
  const elsewhere = optionSpecs.find((spec) => spec.path.endsWith(`.${key}`))
  if (elsewhere !== undefined) return ` (did you mean "${elsewhere.path}"?)`
  return `: ${path === '' ? 'sections are' : 'keys are'} ${[...tree.keys()].join(', ')}`
}
