/** Names this project makes: recorders, segments' labels, digits of a part. Pure; randomness and time are passed in. */

import { createHash } from 'node:crypto'
import type { Random } from './clock.ts'

/** RFC 4648 base32 in lower case: no letter pair that differs only in case, safe in every file system. */
const base32 = 'abcdefghijklmnopqrstuvwxyz234567'

/** Ten base32 characters, made at random at each start of a recorder: 50 bits. */
export function makeRecorderId(random: Random): string {
  return Array.from({ length: 10 }, () => base32[Math.floor(random() * 32)]).join('')
}

export function isRecorderId(text: string): boolean {
  return /^[a-z2-7]{10}$/.test(text)
}

/** The `k`-th connection of a recorder, from 1. */
export function connectionId(recorder: string, k: number): string {
  return `${recorder}-${k}`
}

export function sha256Hex(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}
