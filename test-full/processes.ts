/** Real `mdv` processes for the fuller suites: start, read their lines, wait for a word, kill. */

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../src/cli/main.js', import.meta.url))

export class MdvProcess {
  readonly child: ChildProcess
  readonly lines: string[] = []
  readonly errors: string[] = []
  #waiting: { readonly pattern: RegExp; readonly resolve: (match: RegExpExecArray) => void }[] = []
  readonly #exited: Promise<unknown>

  constructor(args: readonly string[]) {
    const env = { ...process.env, NO_COLOR: '1' }
    this.child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env })
    this.#exited = once(this.child, 'exit')
    createInterface({ input: this.child.stdout! }).on('line', (line) => this.#take(line))
    createInterface({ input: this.child.stderr! }).on('line', (line) => this.errors.push(line))
  }

  #take(line: string): void {
    this.lines.push(line)
    this.#waiting = this.#waiting.filter(({ pattern, resolve }) => {
      const match = pattern.exec(line)
      if (match !== null) resolve(match)
      return match === null
    })
  }

  /** The first line of stdout, past or to come, that matches; rejects when the process ends without one. */
  async line(pattern: RegExp): Promise<RegExpExecArray> {
    for (const line of this.lines) {
      const match = pattern.exec(line)
      if (match !== null) return match
    }
    return Promise.race([
      new Promise<RegExpExecArray>((resolve) => this.#waiting.push({ pattern, resolve })),
      this.#exited.then(() => {
        throw new Error(`the process ended before it said ${pattern}: ${this.errors.slice(-5).join(' | ')}`)
      }),
    ])
  }

  /** The next line to come that matches. */
  next(pattern: RegExp): Promise<RegExpExecArray> {
    return Promise.race([
      new Promise<RegExpExecArray>((resolve) => this.#waiting.push({ pattern, resolve })),
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
