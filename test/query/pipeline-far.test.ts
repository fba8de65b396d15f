/** The whole way once more, read from a vault that has no files on this machine: every test of pipeline.test.ts over a store as a bucket is one. */

import { reading } from './small-vault.ts'

reading.isFar = true
await import('./pipeline.test.ts')
