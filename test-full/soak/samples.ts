/** The samples of a soak: of whom, what, and how it went over time; and the table of it. */

import type { Measure } from './measure.ts'
import { trendOf, type Bound, type Sample, type Trend } from './slope.ts'

/** One line of the table. */
export interface Row {
  readonly who: string
  readonly measure: string
  readonly trend: Trend
  /** False: shown, not judged. */
  readonly isJudged: boolean
}

const noBound: Bound = { share: 0, room: Infinity }

interface Series {
  readonly bound: Bound | null
  readonly samples: Sample[]
}

export class Samples {
  readonly #series = new Map<string, Map<string, Series>>()
  #lastS = 0

  /** @param s seconds since the start */
  add(who: string, s: number, measures: readonly Measure[]): void {
    this.#lastS = s
    const all = this.#series.get(who) ?? new Map<string, Series>()
    this.#series.set(who, all)
    for (const { name, value, bound } of measures) {
      const series = all.get(name) ?? { bound, samples: [] }
      series.samples.push({ s, value })
      all.set(name, series)
    }
  }

  /** @param unjudged who is only shown */
  rows(unjudged: readonly string[]): Row[] {
    return [...this.#series].flatMap(([who, all]) =>
      [...all].flatMap(([measure, { bound, samples }]) => {
        const trend = trendOf(samples, bound ?? noBound, this.#lastS)
        if (trend === undefined) return []
        const isJudged = bound !== null && trend.isTold && !unjudged.includes(who)
        return [{ who, measure, trend, isJudged }]
      }),
    )
  }
}

/** As Markdown. */
export function tableOf(rows: readonly Row[]): string {
  const lines = rows.map(({ who, measure, trend, isJudged }) => {
    const { start, end, median, max, slope, allowed, isRising } = trend
    const verdict = isJudged ? (isRising ? '**rising**' : 'flat') : 'not judged'
    const numbers = [start, end, median, max, slope].map((value) => numberText(value))
    numbers.push(isJudged ? numberText(allowed) : '')
    return `| ${[who, measure, ...numbers, verdict].join(' | ')} |`
  })
  return [
    '| process | measure | start | end | median | max | slope an hour | allowed | verdict |',
    '| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |',
    ...lines,
  ].join('\n')
}

function numberText(value: number): string {
  const text =
    Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2)
  return text.replace(/^-(0(?:\.0+)?)$/, '$1')
}
