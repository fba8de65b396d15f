/** Lengths of time in words. Pure. */

/** `4.2s`, `42s`, `3m 05s`, `2h 10m`. */
export function durationWords(seconds: number): string {
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole < 10 ? Math.round(seconds * 10) / 10 : whole}s`
  const two = (n: number): string => String(n).padStart(2, '0')
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`
  return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`
}
