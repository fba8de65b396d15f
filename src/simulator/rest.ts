/** The venue's public product list, as its REST interface answers. Pure. */

import { priceText, sizeText, type Product } from './products.ts'

export const productsPath = '/api/v3/brokerage/market/products'

/** Listed and traded no more, from the beginning. */
const offlineId = 'OFF-USD'

/** What the list is made from. */
export interface ProductList {
  readonly products: readonly Product[]
  /** Traded no more. */
  readonly delisted: readonly Product[]
}

/** All products, `BTC-USDC` among them as an alias of `BTC-USD` and one that is offline, cut to a page. */
export function productsAnswer(list: ProductList, query: URLSearchParams): string {
  const rows = rowsOf(list)
  const wanted = query.getAll('product_ids')
  const type = query.get('product_type')
  const found = rows.filter(
    (row) =>
      (wanted.length === 0 || wanted.includes(row.product_id)) &&
      (type === null || type === row.product_type),
  )
  const offset = Number(query.get('offset') ?? 0)
  const limit = Number(query.get('limit') ?? found.length)
  return JSON.stringify({
    products: found.slice(offset, offset + limit),
    num_products: found.length,
    pagination: null,
  })
}

/** One product, or undefined for an id that is not listed. */
export function productAnswer(list: ProductList, id: string): string | undefined {
  const row = rowsOf(list).find((each) => each.product_id === id)
  return row === undefined ? undefined : JSON.stringify(row)
}

function rowsOf({ products, delisted }: ProductList): ProductRow[] {
  const rows = products.flatMap((product) => {
    const { id, quote } = product
    if (product.type === 'FUTURE') return [futureRow(product)]
    return id === 'BTC-USD'
      ? [productRow(product, id, quote, ''), productRow(product, 'BTC-USDC', 'USDC', id)]
      : [productRow(product, id, quote, '')]
  })
  const [first] = rows
  if (first === undefined) return []
  const gone = delisted.map((product) => offlineRow(productRow(product, product.id, product.quote, '')))
  return [...rows, ...gone, offlineRow({ ...first, product_id: offlineId })]
}

function offlineRow(model: ProductRow): ProductRow {
  return {
    ...model,
    status: 'delisted',
    trading_disabled: true,
    is_disabled: true,
    alias_to: [],
    price: '',
    price_percentage_change_24h: '',
    volume_24h: '',
  }
}

/** A contract's status is empty while it trades, and its tick is the price increment. */
function futureRow(product: Product): ProductRow {
  return {
    ...productRow(product, product.id, product.quote, ''),
    quote_increment: '0.01',
    base_currency_id: '',
    status: '',
    product_type: 'FUTURE',
    product_venue: 'FCM',
    future_product_details: {
      venue: 'cde',
      contract_code: product.base,
      contract_expiry: '2030-12-20T16:00:00Z',
      contract_size: '0.01',
      contract_root_unit: 'BTC',
      group_description: 'Bitcoin perp style futures',
      contract_expiry_timezone: 'Europe/London',
      group_short_description: 'BTC perp',
    },
  }
}

function productRow(product: Product, id: string, quote: string, alias: string): ProductRow {
  const { base, startTicks } = product
  const increment = priceText(product, 1)
  return {
    product_id: id,
    price: priceText(product, startTicks),
    price_percentage_change_24h: '1.21471769193719',
    volume_24h: '3974.98800786',
    base_increment: sizeText(product, 1),
    quote_increment: increment,
    price_increment: increment,
    quote_min_size: '1',
    quote_max_size: '150000000',
    base_min_size: sizeText(product, 1),
    base_max_size: '3400',
    base_name: base,
    quote_name: quote,
    status: 'online',
    cancel_only: false,
    limit_only: false,
    post_only: false,
    trading_disabled: false,
    auction_mode: false,
    is_disabled: false,
    view_only: false,
    product_type: 'SPOT',
    quote_currency_id: quote,
    base_currency_id: base,
    alias,
    alias_to: id === 'BTC-USD' ? ['BTC-USDC'] : [],
    product_venue: 'CBE',
    mid_market_price: '',
    new_at: null,
    fcm_trading_session_details: null,
  }
}

interface ProductRow {
  readonly product_id: string
  readonly product_type: string
  readonly [key: string]: unknown
}
