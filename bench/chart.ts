/** The figures of a run as a drawing: how much of its goal each reaches. Pure. */

import { reached, type Figure } from './report.ts'

const rowHeight = 26
const labelWidth = 440
const goalWidth = 240
/** What reaches more than this is cut there, and says how much it is. */
const shareMax = 1.6

export function chartSvg({
  machine,
  figures,
}: {
  readonly machine: string
  readonly figures: readonly Figure[]
}): string {
  const top = 44
  const height = top + figures.length * rowHeight + 16
  const width = labelWidth + goalWidth * shareMax + 60
  const goalX = labelWidth + goalWidth
  const rows = figures.map((figure, i) => rowSvg(figure, top + i * rowHeight))
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="13">
<title>How much of its goal each figure reaches</title>
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="12" y="18" fill="#555555">${escaped(machine)}</text>
<text x="${goalX}" y="36" text-anchor="middle" fill="#555555">goal</text>
${rows.join('\n')}
<line x1="${goalX}" x2="${goalX}" y1="40" y2="${height - 10}" stroke="#222222" stroke-dasharray="4 3"/>
</svg>
`
}

function rowSvg(figure: Figure, y: number): string {
  const share = reached(figure)
  const width = Math.max(2, Math.min(share, shareMax) * goalWidth)
  const colour = share >= 1 ? '#2f7d4f' : '#c27c2c'
  return `<text x="${labelWidth - 10}" y="${y + 16}" text-anchor="end" fill="#222222">${escaped(figure.name)}</text>
<rect x="${labelWidth}" y="${y + 4}" width="${width.toFixed(1)}" height="${rowHeight - 8}" fill="${colour}"/>
<text x="${(labelWidth + width + 6).toFixed(1)}" y="${y + 17}" fill="#222222">${share.toFixed(2)}</text>`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
