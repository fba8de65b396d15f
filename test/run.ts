/**
 * Runs every `*.test.js` under a folder with Node's own test runner: `node dist/test/run.js dist/test [FILES_AT_ONCE]`.
 * Node 20 takes folders and no patterns, later ones patterns and no folders; a list of files is understood by all.
 *
 * Unless told, one file more than there are processors runs at a time, since some wait for the disk. Node's own choice, one less, is a single
 * file on two processors: 138 s instead of 62 s.
 *
 * A test that waits for ever fails after a quarter of an hour, and is named.
 */

import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

const folder = process.argv[2] ?? 'dist/test'
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.js'))
  .sort()
  .map((name) => join(folder, name))
if (files.length === 0) throw new Error(`no tests under ${folder}`)
const atOnce = Number(process.argv[3] ?? availableParallelism() + 1)
const command = ['--test', `--test-concurrency=${atOnce}`, '--test-timeout=900000', ...files]
spawn(process.execPath, command, { stdio: 'inherit' }).on('exit', (code) => {
  process.exitCode = code ?? 1
})
