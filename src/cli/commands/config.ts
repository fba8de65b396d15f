/** `mdv config show | validate | schema`: the effective configuration and where each value comes from. */

import { VaultError } from '../../core/errors.ts'
import type { Command, CommandContext, ExitCode } from '../command.ts'
import { defaultConfigPath, loadConfig, type LoadedConfig } from '../config-load.ts'
import { configSchema } from '../config-schema.ts'
import { settingsYaml } from '../config-text.ts'
import { sections } from '../options.ts'

export const command: Command = {
  name: 'config',
  summary: 'show the effective configuration, check it, print its JSON Schema',
  example: 'mdv config show --origin',
  sections,

  configure(parser) {
    parser
      .argument('<what>', 'show, validate or schema')
      .option('--origin', 'for show: where each value comes from')
  },

  async run(context): Promise<ExitCode> {
    const what = context.args[0] ?? ''
    switch (what) {
      case 'show':
        return show(context, await load(context))
      case 'validate':
        return validate(context, await load(context))
      case 'schema':
        await context.output.out(JSON.stringify(configSchema(), null, 2) + '\n')
        return 0
      default:
        throw new VaultError('usage', `mdv config ${what}: no such command`, {
          remedy: 'one of show, validate, schema',
        })
    }
  },
}

async function load(context: CommandContext): Promise<LoadedConfig> {
  const path = context.options['config'] ?? context.env['MDV_CONFIG']
  const loaded = await loadConfig({
    path: typeof path === 'string' ? path : undefined,
    env: context.env,
    flags: context.options,
    sections,
  })
  for (const warning of loaded.warnings) context.output.err(`mdv: warning: ${warning}\n`)
  return loaded
}

async function show(context: CommandContext, { settings }: LoadedConfig): Promise<ExitCode> {
  if (!context.json) {
    await context.output.out(settingsYaml(settings, context.options['origin'] === true))
    return 0
  }
  const plain = settings.map(({ spec, value, origin }) => [spec.path, { value, origin }])
  await context.output.out(JSON.stringify(Object.fromEntries(plain), null, 2) + '\n')
  return 0
}

async function validate(context: CommandContext, { file, warnings }: LoadedConfig): Promise<ExitCode> {
  if (context.json)
    await context.output.out(JSON.stringify({ valid: true, file: file ?? null, warnings }) + '\n')
  else
    await context.output.out(
      file === undefined ? `valid: no ${defaultConfigPath}, defaults\n` : `valid: ${file}\n`,
    )
  return 0
}
