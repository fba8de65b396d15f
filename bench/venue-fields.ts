/** Fields of rows as the venue sends them, by the name of their list: what references read without the project's own code. */

export const rowFields = {
  updates: 'side event_time price_level new_quantity'.split(' '),
  trades: 'product_id trade_id price size time side'.split(' '),
  tickers:
    'type product_id price volume_24_h low_24_h high_24_h low_52_w high_52_w price_percent_chg_24_h best_bid best_ask best_bid_quantity best_ask_quantity'.split(
      ' ',
    ),
}
