/** What is wrong with a soak, in words; nothing when it is well. Pure. */

import type { SoakResult } from './run.ts'

/** Of what one process prints, whatever goes on: a gigabyte takes more than a month. */
const logBytesPerHour = 1_500_000
/** Below this a slope says nothing. */
const judgedSecondsMin = 1800

/** @param seconds how long it ran @returns one line each */
export function findings(result: SoakResult, seconds: number): string[] {
  const { accounting, failures, logBytes, rows, silenced, silencesHeard, merges } = result
  const found = [...failures, ...accounting.differences]
  if (seconds >= judgedSecondsMin) {
    for (const { who, measure, trend, isJudged } of rows)
      if (isJudged && trend.isRising)
        found.push(`${who}: ${measure} rises by ${trend.slope} an hour, ${trend.allowed} are allowed`)
    if (merges === 0) found.push('nothing was merged')
  }
  for (const [who, bytes] of Object.entries(logBytes))
    if (bytes > logBytesPerHour * Math.max(seconds / 3600, 1 / 6))
      found.push(`${who} printed ${bytes} bytes in ${seconds} s`)
  if (silencesHeard < silenced)
    found.push(`${silenced} connections fell silent, ${silencesHeard} were noticed`)
  if (accounting.compared === 0) found.push('no frame was compared byte for byte')
  if (result.scratchFilesLeft > 0) found.push(`${result.scratchFilesLeft} files are left in scratch`)
  if (result.segmentsLeft > 0) found.push(`${result.segmentsLeft} segments are left to convert`)
  return found
}
