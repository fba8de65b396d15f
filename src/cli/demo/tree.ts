/** What lies in a store, as a tree of folders with counts and sizes. Pure. */

import { formatBytes } from '../../core/bytes.ts'
import type { ObjectInfo } from '../../storage/object-store.ts'

/** Below this many folders single products and days would follow, which are told as one line. */
const depthMax = 3

interface Branch {
  objects: number
  sizeBytes: number
}

/** One line a folder, `raw/ready/coinbase/  3 objects  12 MB`, in key order. */
export function treeText(objects: readonly ObjectInfo[]): string {
  const branches = new Map<string, Branch>()
  for (const { key, sizeBytes } of objects) {
    const folder = key.split('/').slice(0, -1).slice(0, depthMax).join('/')
    const branch = branches.get(folder) ?? { objects: 0, sizeBytes: 0 }
    branch.objects++
    branch.sizeBytes += sizeBytes
    branches.set(folder, branch)
  }
  const rows = [...branches].sort(([a], [b]) => (a < b ? -1 : 1))
  const width = Math.max(0, ...rows.map(([folder]) => folder.length))
  return rows
    .map(
      ([folder, branch]) =>
        `  ${`${folder}/`.padEnd(width + 2)}${String(branch.objects).padStart(8)} objects${formatBytes(branch.sizeBytes).padStart(12)}\n`,
    )
    .join('')
}
