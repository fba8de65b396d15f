/** The venues there are. */

import { coinbase } from './coinbase.ts'
import type { Venue } from './venue.ts'

export const venues: readonly Venue[] = [coinbase]
