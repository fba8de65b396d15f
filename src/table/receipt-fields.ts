/** Strict reading of small JSON objects: a wrong shape is an error that names object, field and value; unknown keys are ignored. */

import { VaultError } from '../core/errors.ts'

type Fields = Readonly<Record<string, unknown>>

/** One JSON object, read field by field. */
export class StrictFields {
  readonly #where: string
  readonly #fields: Fields

  private constructor(where: string, fields: Fields) {
    this.#where = where
    this.#fields = fields
  }

  /** @param key where it lies, for messages */
  static parse(key: string, body: Uint8Array): StrictFields {
    try {
      return StrictFields.#of(key, JSON.parse(Buffer.from(body).toString('utf8')))
    } catch (error) {
      if (error instanceof SyntaxError) throw corrupt(key, 'is not JSON', error)
      throw error
    }
  }

  static #of(where: string, value: unknown): StrictFields {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw corrupt(where, 'is not a JSON object')
    return new StrictFields(where, value as Fields)
  }

  /** @throws {VaultError} `invalid` for what a newer version wrote */
  format(known: number): void {
    if (this.count('format') <= known) return
    throw new VaultError(
      'invalid',
      `${this.#where}: format ${String(this.#fields['format'])}, written by a newer version`,
      {
        remedy: 'use the newest mdv on this vault',
      },
    )
  }

  text(name: string): string {
    const value = this.#fields[name]
    return typeof value === 'string' ? value : this.#refuse(name, 'text')
  }

  textOrNull(name: string): string | null {
    return this.#fields[name] === null ? null : this.text(name)
  }

  /** For fields younger than the format. */
  textIfThere(name: string): string | undefined {
    return this.#fields[name] === undefined ? undefined : this.text(name)
  }

  /** As `list`, for fields younger than the format. */
  listIfThere<T>(name: string, read: (item: StrictFields) => T): T[] | undefined {
    return this.#fields[name] === undefined ? undefined : this.list(name, read)
  }

  oneOf<T extends string>(name: string, choices: readonly T[]): T {
    const value = this.text(name)
    return choices.find((choice) => choice === value) ?? this.#refuse(name, `one of ${choices.join(', ')}`)
  }

  /** A whole number of at least 0. */
  count(name: string): number {
    const value = this.#fields[name]
    return Number.isSafeInteger(value) && (value as number) >= 0
      ? (value as number)
      : this.#refuse(name, 'a whole number')
  }

  countOrNull(name: string): number | null {
    return this.#fields[name] === null ? null : this.count(name)
  }

  matching(name: string, pattern: RegExp, what: string): string {
    const value = this.text(name)
    return pattern.test(value) ? value : this.#refuse(name, what)
  }

  /** Epoch nanoseconds as text, of 64 bits. */
  ns(name: string): string {
    const text = this.matching(name, /^-?\d{1,19}$/, 'nanoseconds as text')
    const ns = BigInt(text)
    return BigInt.asIntN(64, ns) === ns ? text : this.#refuse(name, 'nanoseconds as text')
  }

  nsOrNull(name: string): string | null {
    return this.#fields[name] === null ? null : this.ns(name)
  }

  sha256(name: string): string {
    return this.matching(name, /^[0-9a-f]{64}$/, 'a sha256')
  }

  sha256OrNull(name: string): string | null {
    return this.#fields[name] === null ? null : this.sha256(name)
  }

  object(name: string): StrictFields {
    return StrictFields.#of(`${this.#where} ${name}`, this.#fields[name])
  }

  list<T>(name: string, read: (item: StrictFields) => T): T[] {
    const value = this.#fields[name]
    if (!Array.isArray(value)) return this.#refuse(name, 'a list')
    return value.map((item: unknown, i) => read(StrictFields.#of(`${this.#where} ${name}[${i}]`, item)))
  }

  #refuse(name: string, wanted: string): never {
    const value = this.#fields[name]
    const shown = value === undefined ? 'nothing' : shortText(value)
    throw corrupt(this.#where, `"${name}" is ${shown}, not ${wanted}`)
  }
}

/** Not the inside of lists and objects: it may be of any depth and size. */
function shortText(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`
  return typeof value === 'object' && value !== null ? 'an object' : JSON.stringify(value).slice(0, 60)
}

function corrupt(where: string, what: string, cause?: unknown): VaultError {
  return new VaultError('corrupt', `${where}: ${what}`, {
    remedy: 'restore it from a backup; nothing is converted or deleted on what it says meanwhile',
    ...(cause === undefined ? {} : { cause }),
  })
}
