/** Bytes looked at where they stand, without a view of their own. */

/** Whether `text` begins at a place. */
export function startsWith(bytes: Buffer, at: number, text: Buffer): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text[i]) return false
  return true
}
