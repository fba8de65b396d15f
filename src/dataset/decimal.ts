/** Decimal texts against DECIMAL(38,18): what a column holds, and whether it prints as it was sent. Pure. */

const number = /^([+-]?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?$/
/** What the venue sends nearly always: already its own plain print, and well within the type. */
const plain = /^(?:0|[1-9]\d{0,15})(?:\.\d{0,15}[1-9])?$/
const wholeDigitsMax = 20
const fractionDigitsMax = 18
/** Longer ones are not prices, and are kept as text. */
const textLengthMax = 100

/**
 * The one plain print of a number: no exponent, plus sign, needless zeros or `-0`.
 *
 * @returns undefined when the text is no number, or one that DECIMAL(38,18) cannot hold exactly
 */
export function canonicalDecimal(text: string): string | undefined {
  if (plain.test(text)) return text
  const match = text.length > textLengthMax ? null : number.exec(text)
  if (match === null) return undefined
  const [, sign, whole = '', fraction = '', exponent = '0'] = match
  const digits = whole + fraction
  const point = whole.length + Number(exponent)
  const wholeDigits = (point <= 0 ? '0' : digits.slice(0, point).padEnd(Math.min(point, 4096), '0')).replace(
    /^0+(?=\d)/,
    '',
  )
  const fractionDigits = (
    point < 0 ? '0'.repeat(Math.min(-point, 4096)) + digits : digits.slice(point)
  ).replace(/0+$/, '')
  if (wholeDigits.length > wholeDigitsMax || fractionDigits.length > fractionDigitsMax) {
    return /^0*$/.test(digits) ? '0' : undefined
  }
  const printed = fractionDigits === '' ? wholeDigits : `${wholeDigits}.${fractionDigits}`
  return sign === '-' && printed !== '0' ? `-${printed}` : printed
}
