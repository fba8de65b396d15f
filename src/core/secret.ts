/**
 * A text that no log, error or report can show: printed, put into JSON or looked at by `util.inspect` it is a word. Its text is taken out
 * only where it is used: by the S3 client, DuckDB's secret, the environment of a child and the signer of tokens.
 */

/** What stands in its place wherever it is printed. */
export const hidden = '[hidden]'

export class Secret {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  /** The text itself. Every call is a place to look at. */
  reveal(): string {
    return this.#text
  }

  isSame(other: Secret): boolean {
    return this.#text === other.#text
  }

  toString(): string {
    return hidden
  }

  toJSON(): string {
    return hidden
  }

  /** What `console.log`, `util.inspect` and assertion errors print. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return hidden
  }
}
