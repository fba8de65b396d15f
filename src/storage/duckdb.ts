/**
 * DuckDB's driver, by `require`: it is 181 CommonJS files, and `import` reads each of them a second time for the names it exports.
 * Measured on Node 20: 230 ms with `import`, 105 ms so, at the start of every command that opens Parquet.
 */

import { createRequire } from 'node:module'
import type * as Driver from '@duckdb/node-api'
import type * as Bindings from '@duckdb/node-bindings'

const require = createRequire(import.meta.url)

export const duckdb = require('@duckdb/node-api') as typeof Driver
/** What the driver itself stands on: vectors that are filled from memory as a whole. */
export const duckdbBindings = require('@duckdb/node-bindings') as typeof Bindings
