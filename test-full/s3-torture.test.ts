/** Torture on a real MinIO behind a proxy that fails, at the size of CI; `torture.ts` is the command for more. */

import test from 'node:test'
import { minioMissing } from '../test/storage/minio.ts'
import { assertSurvived, tortureSeed } from './torture/in-test.ts'

const cycles = Number(process.env['MDV_KILLS'] ?? 20)
const why = minioMissing()

test(
  `${cycles} cycles of torture on MinIO: no flushed line lost, no row doubled, no gap unexplained (MDV_SEED=${tortureSeed})`,
  why === undefined ? {} : { skip: why },
  (t) => assertSurvived(t, 'minio', cycles),
)
