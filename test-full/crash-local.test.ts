/** The crash matrix on disk. */

import { localStand } from '../test/crash/stand.ts'
import { testMatrix } from './crash-matrix.ts'

testMatrix(localStand)
