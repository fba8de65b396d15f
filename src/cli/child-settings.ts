/** Hands this process' settings on to another `mdv`: flags become environment variables, which every command understands. Pure. */

import { defaultConfigPath } from './config-load.ts'
import { envOf, flagKey, optionSpecs } from './options.ts'

/** @param options this command's own, as parsed */
export function childEnv(
  env: Readonly<Record<string, string | undefined>>,
  options: Readonly<Record<string, unknown>>,
): Record<string, string | undefined> {
  const handed: Record<string, string | undefined> = { ...env }
  for (const spec of optionSpecs) {
    const given = spec.flag === null ? undefined : options[flagKey(spec.flag)]
    if (typeof given === 'string' || typeof given === 'boolean') handed[envOf(spec)] = String(given)
  }
  const config = options['config']
  if (typeof config === 'string' && config !== defaultConfigPath) handed['MDV_CONFIG'] = config
  return handed
}
