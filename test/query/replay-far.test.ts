/** Replays once more, of a vault that has no files on this machine: every test of replay.test.ts over a store as a bucket is one. */

import { reading } from './small-vault.ts'

reading.isFar = true
await import('./replay.test.ts')
