/** Real `mdv` processes for the fuller suites: start, read their lines, wait for a word, kill. */

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../src/cli/main.js', import.meta.url))

interface Waiting {
  readonly lines: readonly string[]
  readonly pattern: RegExp
  readonly resolve: (match: RegExpExecArray) => void
}

export class MdvProcess {
  readonly child: ChildProcess
  readonly lines: string[] = []
  readonly errors: string[] = []
  #waiting: Waiting[] = []
  readonly #exited: Promise<unknown>

  /** @param under a program that runs it, with its own arguments @param flags of Node itself */
  constructor(
    args: readonly string[],
    under: readonly string[] = [],
    more: NodeJS.ProcessEnv = {},
    flags: readonly string[] = [],
  ) {
    const env = { ...process.env, NO_COLOR: '1', ...more }
    const [program, ...rest] = [...under, process.execPath, ...flags, main, ...args]
    this.child = spawn(program!, rest, { stdio: ['ignore', 'pipe', 'pipe'], env })
    this.#exited = once(this.child, 'exit')
    createInterface({ input: this.child.stdout! }).on('line', (line) => this.#take(line, this.lines))
    createInterface({ input: this.child.stderr! }).on('line', (line) => this.#take(line, this.errors))
  }

  #take(line: string, lines: string[]): void {
    lines.push(line)
    this.#waiting = this.#waiting.filter((waiting) => {
      const match = waiting.lines === lines ? waiting.pattern.exec(line) : null
      if (match !== null) waiting.resolve(match)
      return match === null
    })
  }

  /** The first line of stdout, past or to come, that matches; rejects when the process ends without one. */
  line(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#find(pattern, this.lines)
  }

  /** The same of stderr. */
  errorLine(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#find(pattern, this.errors)
  }

  async #find(pattern: RegExp, lines: readonly string[]): Promise<RegExpExecArray> {
    for (const line of lines) {
      const match = pattern.exec(line)
      if (match !== null) return match
    }
    return this.next(pattern, lines)
  }

  /** The next line of stdout to come that matches; rejects when there was none for five minutes. */
  next(pattern: RegExp, lines: readonly string[] = this.lines): Promise<RegExpExecArray> {
    return Promise.race([
      new Promise<RegExpExecArray>((resolve, reject) => {
        this.#waiting.push({ lines, pattern, resolve })
        setTimeout(() => {
          reject(new Error(`${pattern} was not said in five minutes: ${this.errors.slice(-5).join(' | ')}`))
        }, 300_000).unref()
      }),
      this.#exited.then(() => {
        throw new Error(`the process ended before it said ${pattern}: ${this.errors.slice(-5).join(' | ')}`)
      }),
    ])
  }

  /** Sends a signal and waits for the end. @returns the exit code, null after a killing signal */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal)
    await this.#exited
    return this.child.exitCode
  }

  /** Waits for the end. */
  async ended(): Promise<number | null> {
    await this.#exited
    return this.child.exitCode
  }
}

/** Runs one command to its end. @throws when it does not exit 0 */
export async function mdv(...args: string[]): Promise<MdvProcess> {
  const run = new MdvProcess(args)
  const code = await run.ended()
  if (code !== 0) throw new Error(`mdv ${args.join(' ')} exited ${code}: ${run.errors.slice(-20).join('\n')}`)
  return run
}
