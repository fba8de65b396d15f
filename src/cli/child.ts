/**
 * A process of our own. It is told to drain by the end of its stdin: that works on every platform, and comes by itself when this
 * process is killed, so that none is left behind.
 */

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { messageOf } from '../core/errors.ts'

export interface ChildPlan {
  /** What its lines are marked with. */
  readonly name: string
  /** Program and arguments. */
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
}

export interface ChildExit {
  /** null after a signal. */
  readonly code: number | null
  readonly signal: string | null
}

export type OnLine = (text: string, stream: 'out' | 'err') => void

export interface Child {
  readonly name: string
  readonly pid: number | undefined
  /** Settled once the process is gone and its last line was handed on. Never rejects. */
  readonly exited: Promise<ChildExit>
  /** Asks it to finish what it has begun and leave. */
  drain(): void
  /** Ends it where it stands. */
  kill(): void
}

/** Program and arguments of another `mdv`. */
export function mdvArgv(args: readonly string[]): string[] {
  return [process.execPath, ...process.execArgv, fileURLToPath(new URL('main.js', import.meta.url)), ...args]
}

const living = new Set<Child>()

// The second Ctrl-C leaves through exit: what was asked to drain is then not waited for either.
process.on('exit', (code) => {
  if (code === 130 || code === 143) for (const child of living) child.kill()
})

export function startChild(plan: ChildPlan, onLine: OnLine): Child {
  const [program, ...args] = plan.argv
  const child = spawn(program!, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...plan.env, MDV_SUPERVISED: '1' },
    windowsHide: true,
  })
  createInterface({ input: child.stdout }).on('line', (text) => onLine(text, 'out'))
  createInterface({ input: child.stderr }).on('line', (text) => onLine(text, 'err'))
  child.stdin.on('error', () => undefined) // it has gone already; `exited` says so
  const exited = new Promise<ChildExit>((resolve) => {
    child.on('error', (error) => {
      onLine(`cannot be started: ${messageOf(error)}`, 'err')
      resolve({ code: 127, signal: null })
    })
    child.on('close', (code, signal) => resolve({ code, signal }))
  })
  const handle: Child = {
    name: plan.name,
    pid: child.pid,
    exited,
    drain: () => void child.stdin.end(),
    kill: () => void child.kill('SIGKILL'),
  }
  living.add(handle)
  void exited.then(() => living.delete(handle))
  return handle
}
