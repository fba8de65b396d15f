/** The venue's public product list, as its REST interface answers. Pure. */

import type { Product } from './products.ts'
import { decimalText } from './text.ts'

export const productsPath = '/api/v3/brokerage/market/products'

/** All products, `BTC-USDC` among them as an alias of `BTC-USD`, cut to a page. */
export function productsAnswer(products: readonly Product[], query: URLSearchParams): string {
  const rows = products.flatMap((product) =>
    product.id === 'BTC-USD'
      ? [productRow(product, product.id, ''), productRow(product, 'BTC-USDC', product.id)]
      : [productRow(product, product.id, '')],
  )
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
export function productAnswer(products: readonly Product[], id: string): string | undefined {
  const product = products.find((each) => each.id === id)
  return product === undefined ? undefined : JSON.stringify(productRow(product, id, ''))
}

function productRow(product: Product, id: string, alias: string): ProductRow {
  const { base, priceDigits, startTicks } = product
  const increment = decimalText(1, priceDigits)
  const quote = id.slice(id.lastIndexOf('-') + 1)
  return {
    product_id: id,
    price: decimalText(startTicks, priceDigits),
    price_percentage_change_24h: '1.21471769193719',
    volume_24h: '3974.98800786',
    base_increment: '0.00000001',
    quote_increment: increment,
    price_increment: increment,
    quote_min_size: '1',
    quote_max_size: '150000000',
    base_min_size: '0.00000001',
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
