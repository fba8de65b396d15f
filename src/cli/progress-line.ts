/** One line on stderr that is redrawn on a terminal and said every half minute elsewhere. */

import type { CommandContext } from './command.ts'

const redrawEveryMs = 500
const sayEveryMs = 30_000

export class ProgressLine {
  readonly #context: Pick<CommandContext, 'clock' | 'output'>
  readonly #words: () => string
  readonly #stop = new AbortController()
  #isDrawn = false

  /** Begins at once. */
  constructor(context: Pick<CommandContext, 'clock' | 'output'>, words: () => string) {
    this.#context = context
    this.#words = words
    void this.#run()
  }

  /** Before anything else is printed. */
  clear(): void {
    if (this.#isDrawn) this.#context.output.err('\r\u001b[K')
    this.#isDrawn = false
  }

  end(): void {
    this.#stop.abort()
    this.clear()
  }

  async #run(): Promise<void> {
    const { clock, output } = this.#context
    const everyMs = output.isTerminal ? redrawEveryMs : sayEveryMs
    for (;;) {
      try {
        await clock.sleep(everyMs, this.#stop.signal)
      } catch {
        return // what it tells of is over
      }
      if (output.isTerminal) output.err(`\r\u001b[K${this.#words().slice(0, output.columns - 1)}`)
      else output.err(`${this.#words()}\n`)
      this.#isDrawn = output.isTerminal
    }
  }
}
