/**
 * Who may talk to the simulator: programs of this machine. Any web page can send requests to 127.0.0.1, by a name of its own that it points
 * there (DNS rebinding) or plainly across sites; browsers say so in Host and Origin. Pure.
 */

import type { IncomingHttpHeaders } from 'node:http'

const here = /^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/i

/** @returns why a request is refused; undefined: it is from here */
export function refusal({ host, origin }: Pick<IncomingHttpHeaders, 'host' | 'origin'>): string | undefined {
  if (host === undefined || !here.test(host)) return 'host: only 127.0.0.1 and localhost'
  if (origin !== undefined && !here.test(origin.replace(/^https?:\/\//i, '')))
    return 'origin: a page of another site'
  return undefined
}
