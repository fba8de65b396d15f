/** Who a process is, so that another can tell whether it still lives: host, boot, PID namespace, PID and start time. */

import { readFile, readlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import { systemCode } from '../core/errors.ts'

export interface ProcessIdentity {
  readonly host: string
  /** Changes with each boot; null where the platform does not tell. */
  readonly boot: string | null
  /** Processes in different namespaces cannot see each other; null where the platform has none. */
  readonly pid_namespace: string | null
  readonly pid: number
  /** Clock ticks from boot to the process' start: tells a reused PID apart; null where the platform does not tell. */
  readonly started: string | null
}

export async function thisProcess(): Promise<ProcessIdentity> {
  return {
    host: hostname(),
    boot: await textOrNull('/proc/sys/kernel/random/boot_id'),
    pid_namespace: await linkOrNull('/proc/self/ns/pid'),
    pid: process.pid,
    started: await startOf(process.pid),
  }
}

/** True only when the process is certainly gone. On another host, or where nothing can be known, false. */
export async function isProvablyDead(identity: ProcessIdentity): Promise<boolean> {
  const here = await thisProcess()
  if (identity.host !== here.host) return false
  // Another boot of this host, or another host with the same name (containers): from here they look alike.
  if (identity.boot !== here.boot) return false
  if (identity.pid_namespace !== here.pid_namespace) return false
  if (!processExists(identity.pid)) return true
  const started = await startOf(identity.pid)
  return identity.started !== null && started !== null && identity.started !== started
}

/** True only when the process certainly runs: the same one, seen from here. Neither this nor dead: nobody here can know. */
export async function isProvablyAlive(identity: ProcessIdentity): Promise<boolean> {
  const here = await thisProcess()
  const isVisible =
    identity.host === here.host &&
    identity.boot === here.boot &&
    identity.pid_namespace === here.pid_namespace
  if (!isVisible || identity.started === null || !processExists(identity.pid)) return false
  return identity.started === (await startOf(identity.pid))
}

function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemCode(error) !== 'ESRCH' // EPERM: it exists and is another user's
  }
}

/** Field 22 of /proc/PID/stat; the command's name before it may hold spaces and parentheses. A zombie counts as gone. */
async function startOf(pid: number): Promise<string | null> {
  const stat = await textOrNull(`/proc/${pid}/stat`)
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (fields === undefined) return null
  return fields[0] === 'Z' ? 'zombie' : (fields[19] ?? null)
}

async function textOrNull(path: string): Promise<string | null> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch {
    return null // not Linux, or hidden from this process: unknown, so never a proof
  }
}

async function linkOrNull(path: string): Promise<string | null> {
  try {
    return await readlink(path)
  } catch {
    return null // as above
  }
}
