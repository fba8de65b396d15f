/** Torture on a folder, at the size of CI; `torture.ts` is the command for more. */

import test from 'node:test'
import { assertSurvived, tortureSeed } from './torture/in-test.ts'

const cycles = Number(process.env['MDV_KILLS'] ?? 60)

test(`${cycles} cycles of torture on a folder: no flushed line lost, no row doubled, no gap unexplained (MDV_SEED=${tortureSeed})`, (t) =>
  assertSurvived(t, 'local', cycles))
