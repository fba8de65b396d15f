/** Sizes as people read and write them. */

const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const

/** `104857600` → `104.9 MB` (powers of ten, as disks are sold). */
export function formatBytes(sizeBytes: number): string {
  let value = sizeBytes
  let unit = 0
  while (Math.abs(value) >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}
