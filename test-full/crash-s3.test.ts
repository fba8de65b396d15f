/** The crash matrix in a bucket of the strict server. */

import { BucketStand } from '../test/crash/stand.ts'
import { testMatrix } from './crash-matrix.ts'

testMatrix(await BucketStand.open())
