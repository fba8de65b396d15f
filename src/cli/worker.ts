/** This process as a worker: who it is in claims and receipts, and how it tells that another one is dead. */

import { randomBytes } from 'node:crypto'
import type { Worker } from '../etl/job-claim.ts'
import { isProvablyDead, thisProcess } from '../storage/process-identity.ts'

export async function makeWorker(): Promise<Worker> {
  return { writer: randomBytes(8).toString('hex'), identity: await thisProcess(), isDead: isProvablyDead }
}
