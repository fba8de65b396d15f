/** One target in a thread of its own, so that one that hangs can be ended and named. */

import { parentPort, workerData } from 'node:worker_threads'
import { fuzz } from './fuzz.ts'
import { targets } from './targets.ts'

export interface FuzzTask {
  readonly target: string
  readonly inputs: number
  readonly seed: number
  /** One 32-bit number: the input under way. */
  readonly under: SharedArrayBuffer
}

const { target: name, inputs, seed, under } = workerData as FuzzTask
const at = new Int32Array(under)
const target = targets.find((one) => one.name === name)!
parentPort!.postMessage(await fuzz(target, inputs, seed, (input) => Atomics.store(at, 0, input)))
