/** Frames as the venue sends them (recorded frames of 2026-09-30 and its docs, values edited), and ones it had better not. */

export const l2 = (events: string, extra = ''): string =>
  `{"channel":"l2_data","timestamp":"2025-12-03T14:00:00.53798423Z","sequence_num":12${extra},"events":[${events}]}`
export const update = (price: string, size = '"0.5"', extra = ''): string =>
  `{"side":"bid","event_time":"2025-12-03T14:00:00.5Z","price_level":${price},"new_quantity":${size}${extra}}`
export const event = (updates: string, type = 'update', product = 'BTC-USD'): string =>
  `{"type":"${type}","product_id":"${product}","updates":[${updates}]}`
export const trade = (id: string, product = 'BTC-USD', time = '2025-12-03T13:59:59.1Z'): string =>
  `{"product_id":"${product}","trade_id":${id},"price":"62000.1","size":"0.00000001","time":"${time}","side":"SELL"}`
export const trades = (rows: string, type = 'update'): string =>
  `{"channel":"market_trades","client_id":"","timestamp":"2025-12-03T14:00:00Z","sequence_num":0,"events":[{"type":"${type}","trades":[${rows}]}]}`
export const tickers = (rows: string, channel = 'ticker'): string =>
  `{"channel":"${channel}","timestamp":"2025-12-03T14:00:01.1Z","sequence_num":9,"events":[{"type":"update","tickers":[${rows}]}]}`

/** Those that take the fast way, each kind of frame once. */
export const plainFrames: readonly string[] = [
  l2(event(`${update('"62000.1"')},${update('"62000"', '"0"')}`, 'snapshot')),
  l2(
    `${event(update('"0.000000000000000001"'))},${event(update('"12345678901234567890"'), 'update', 'ETH-USD')}`,
    ',"client_id":""',
  ),
  trades(`${trade('"12"')},${trade('"11"', 'ETH-USD')}`, 'snapshot'),
  tickers(
    '{"type":"ticker","product_id":"BTC-USD","price":"64281.7","volume_24_h":"3974.98800786","low_24_h":"63454","high_24_h":"64727.27","low_52_w":"59073.01","high_52_w":"126296","price_percent_chg_24_h":"-1.21471769193719","best_bid":"64281.7","best_ask":"64281.71","best_bid_quantity":"0.21558849","best_ask_quantity":"0.02287045"}',
  ),
  tickers('{"type":"ticker","product_id":"BTC-USD","price":"64281.7"}', 'ticker_batch'),
  '{"channel":"heartbeats","timestamp":"2025-12-03T14:00:02.675755362Z","sequence_num":3,"events":[{"current_time":"2026-09-07 23:37:22.674409 +0000 UTC m=+139651.272674714","heartbeat_counter":139651}]}',
  '{"channel":"subscriptions","timestamp":"2025-12-03T14:00:00.788217036Z","sequence_num":7,"events":[{"subscriptions":{"level2":["BTC-USD"]}}]}',
  '{"type":"error","message":"authentication failure"}',
]

/** Each hides something that a hasty reader loses. */
export const nastyFrames: readonly string[] = [
  l2(event(update('"1.50"'))),
  l2(event(update('"1e-9"'))),
  l2(event(update('"+1"'))),
  l2(event(update('"007"'))),
  l2(event(update('"-0"'))),
  l2(event(update('"NaN"'))),
  l2(event(update('"0.0000000000000000001"'))),
  l2(event(update('"123456789012345678901"'))),
  l2(event(update('".50"'))),
  l2(event(update('" 1"'))),
  l2(event(update('"1_0"'))),
  l2(event(update('1.5'))),
  // Two bytes less for the number, two more for the spaces.
  l2(event(`${update('1.5')}  `)),
  l2(event(update('1.5')), ',"sequence_num":"3"'),
  '{"channel":"l2_data","timestamp":"2025-12-03T14:00:00Z","sequence_num":"12","events":[' +
    event(update('5')) +
    ']}',
  l2(event(update('null'))),
  l2(event(update('"1"', '"2"', ',"new_quantity":"3"'))),
  l2(event(update('"1"', '"2"', ',"order_count":7,"deep":{"a":[1, 2.50,{"b":"\\u0041"}]}'))),
  l2(event(update('"\\u0031"'))),
  l2(event(update('"1"')).replace('"BTC-USD"', '"BTC\\u002dUSD"')),
  l2(event(update('"1"'), 'correction')),
  l2(event(update('"1"'), 'update', 'btc-usd')),
  l2(event(update('"1"'), 'update', '')),
  l2(event(update('"1"'), 'update', '..')),
  l2(event('')),
  l2(`${event(update('"1"'))},${event('')}`),
  l2(`null,${event(update('"1"'))}`),
  l2(event(`${update('"1"')},null`)),
  l2(event(update('"1"')), ',"client_id":"abc","unknown":{"x":1}'),
  l2(event(update('"1"')), ',"client_id":null'),
  l2(event(update('"1"'))).replace('.53798423Z', '.530Z'),
  l2(event(update('"1"'))).replace('2025-12-03T14:00:00.53798423Z', '0001-01-01T00:00:00Z'),
  l2(event(update('"1"'))).replace('00:00.5Z', '00:00.123456789Z'),
  l2(event(update('"1"'))).replace('00:00.5Z', '00:60Z'),
  l2(event(update('"1"'))).replace('"sequence_num":12', '"sequence_num":12.0'),
  l2(event(update('"1"'))).replace('"sequence_num":12', '"sequence_num":99999999999999999999'),
  l2(event(update('"1"'))).replaceAll(',', ' , '),
  l2(event(update('"1"')))
    .replace('"events":[', '"events":')
    .replace(']}]}', ']}}'),
  l2(event(update('"1"'))).replace('"bid"', '"BID"'),
  l2(event(update('"1"'))).replace('"side":"bid",', ''),
  l2(event(update('"1"'))).replace('"type":"update",', ''),
  l2(event(update('"1"'))).replace('"channel"', '"channel":"heartbeats","channel"'),
  `{"events":[${event(update('"1"'))}],"sequence_num":1,"timestamp":"2025-12-03T14:00:00Z","channel":"l2_data"}`,
  trades(trade('"0012"')),
  trades(trade('"99999999999999999999"')),
  trades(trade('12')),
  trades(trade('"12"', 'BTC-USD', '2025-12-03T13:59:59.100Z')),
  trades(`${trade('"12"')},${trade('"13"').replace('"product_id":"BTC-USD",', '')}`),
  tickers('{"type":"other","product_id":"BTC-USD","price":"1"}'),
  tickers('{"product_id":"BTC-USD","price":"1"}'),
  tickers('{"type":"ticker","product_id":"BTC-USD","price":"1","best_bid":null}'),
  '{"channel":"candles","timestamp":"2025-12-03T14:00:00Z","sequence_num":2,"events":[{"type":"snapshot","candles":[]}]}',
  '{"channel":"l2_data"}',
  '{}',
  '{"a":"\\ud800"}',
  `{"channel":"l2_data","timestamp":"2025-12-03T14:00:00Z","sequence_num":12,"events":[${event(update('"1"', '"2"', ',"x":"\\ud800é"'))}]}`,
]

/** Not JSON, though they begin and end as an object: what a frame would need to forge its line. */
export const forgedFrames: readonly string[] = [
  '{"a":1},"n":99,"crc":"..","x":{"b":2}',
  `${l2(event(update('"1"')))},"len":${l2(event(update('"1"'))).length},"n":99,"x":{}`,
  `{"channel":"l2_data","timestamp":"2025-12-03T14:00:00Z","sequence_num":12,"events":[${event(update('"1"'))},]}`,
  '{"channel":"ticker",}',
]
