/**
 * DuckDB's driver, by `require`: it is 181 CommonJS files, and `import` reads each of them a second time for the names it exports.
 * Measured on Node 20: 230 ms with `import`, 105 ms so, at the start of every command that opens Parquet.
 */

import { createRequire } from 'node:module'
import type * as Driver from '@duckdb/node-api'

export const duckdb = createRequire(import.meta.url)('@duckdb/node-api') as typeof Driver
