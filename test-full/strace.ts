/** Real `mdv` processes under strace, which lets one system call fail. */

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { MdvProcess } from './processes.ts'

/** What happens instead of the call: an error, nothing written and no error, or the end of the process. */
export type Fault = 'EIO' | 'ENOSPC' | 'short' | 'kill'

export interface Injection {
  /** By strace's names, with commas. */
  readonly calls: string
  /** Only calls that touch one of these; null: all. */
  readonly paths: readonly string[] | null
  /** null: calls are only counted. */
  readonly fault: { readonly kind: Fault; readonly at: number } | null
}

/** The program, by name or path. */
export const strace = process.env['MDV_TEST_STRACE'] ?? 'strace'

/** @returns why calls cannot be made to fail here; null: they can */
export function whyNoStrace(): { readonly reason: string; readonly isAbsent: boolean } | null {
  const tried = spawnSync(strace, ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=none', '/bin/true'], {
    encoding: 'utf8',
  })
  if (tried.error !== undefined) return { reason: `${strace}: ${tried.error.message}`, isAbsent: true }
  if (tried.status === 0) return null
  return { reason: `strace may not trace here (ptrace is forbidden): ${tried.stderr}`, isAbsent: false }
}

const effects: Readonly<Record<Fault, string>> = {
  EIO: 'error=EIO',
  ENOSPC: 'error=ENOSPC',
  short: 'retval=0',
  kill: 'signal=KILL',
}

export class TracedProcess extends MdvProcess {
  readonly #log: string

  /** @param log where strace writes what it saw */
  constructor(args: readonly string[], { calls, paths, fault }: Injection, log: string) {
    const inject = fault === null ? [] : ['-e', `inject=${calls}:${effects[fault.kind]}:when=${fault.at}`]
    // Faster, since other calls do not stop; but strace 6.1 then sends no signals.
    const filter = fault?.kind === 'kill' ? [] : ['--seccomp-bpf']
    const only = paths === null ? [] : paths.flatMap((path) => ['-P', path])
    super(
      args,
      [strace, '-f', '-qq', ...filter, '-o', log, '-e', `trace=${calls}`, ...inject, ...only],
      // Calls are counted by thread: so that there is one that makes them.
      { UV_THREADPOOL_SIZE: '1' },
    )
    this.#log = log
  }

  /** strace keeps signals from itself; its child gets them. */
  interrupt(): void {
    const pid = this.child.pid!
    for (const child of readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' '))
      if (child !== '') process.kill(Number(child), 'SIGINT')
  }

  /** How many of these calls were seen; after the end. */
  countOf(calls: string): number {
    const made = new RegExp(` (?:${calls.replaceAll(',', '|')})\\(`)
    return readFileSync(this.#log, 'utf8')
      .split('\n')
      .filter((line) => made.test(line)).length
  }

  /** Whether the call that was to fail came; after the end. */
  get isReached(): boolean {
    return this.child.signalCode === 'SIGKILL' || readFileSync(this.#log, 'utf8').includes('(INJECTED)')
  }
}
