/** The little XML that S3 speaks. */

import type { S3Answer, S3Error } from './protocol.ts'

/** Text, a list of elements of one name, or elements inside. */
export type XmlValue = string | number | boolean | readonly XmlElements[] | XmlElements
export interface XmlElements {
  readonly [name: string]: XmlValue
}

const names: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

function escaped(text: string): string {
  return text
    .replace(/[&<>"]/g, (char) => names[char]!)
    .replace(/[\r\n\t]/g, (char) => `&#${char.charCodeAt(0)};`)
}

function unescaped(text: string): string {
  return text.replace(/&(?:(amp|lt|gt|quot|apos)|#(\d+));/g, (_, name: string | undefined, code: string) =>
    name === undefined
      ? String.fromCodePoint(Number(code))
      : { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }[name]!,
  )
}

function render(elements: XmlElements): string {
  return Object.entries(elements)
    .map(([name, value]) => {
      if (Array.isArray(value))
        return value.map((item: XmlElements) => `<${name}>${render(item)}</${name}>`).join('')
      const inner = typeof value === 'object' ? render(value as XmlElements) : escaped(String(value))
      return `<${name}>${inner}</${name}>`
    })
    .join('')
}

export function xml(root: string, elements: XmlElements): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${render(elements)}</${root}>`
}

export function xmlAnswer(root: string, elements: XmlElements): S3Answer {
  return { status: 200, headers: { 'content-type': 'application/xml' }, body: xml(root, elements) }
}

export function errorXml(error: S3Error, resource: string): string {
  const elements = { Code: error.code, Message: error.message, Resource: resource, ...error.elements }
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error>${render(elements)}</Error>`
}

/** The inside of each `<name>` in a document without attributes on it. */
export function inside(text: string, name: string): string[] {
  return [...text.matchAll(new RegExp(`<${name}>(.*?)</${name}>`, 'gs'))].map((match) => match[1]!)
}

/** The text of the first `<name>`. */
export function textOf(text: string, name: string): string | undefined {
  const first = inside(text, name)[0]
  return first === undefined ? undefined : unescaped(first)
}
