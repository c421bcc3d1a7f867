// One shopper's way through a shop, told by Segment's Node library: HOST and WRITE_KEY say where to.
import { Analytics } from '@segment/analytics-node'

const analytics = new Analytics({ writeKey: process.env.WRITE_KEY, host: process.env.HOST, maxRetries: 1 })
const failures = []
analytics.on('error', (error) => failures.push(String(error.reason ?? error)))

const cup = { product_id: 'cup-1', name: 'A cup', price: 12.5, quantity: 2 }
const shopper = { userId: 'node-customer', anonymousId: 'node-visitor' }
analytics.identify({ ...shopper, traits: { email: 'node@example.com', firstName: 'Alex' } })
analytics.alias({ userId: 'node-customer', previousId: 'node-former' })
analytics.page({ ...shopper, name: 'Home' })
analytics.group({ ...shopper, groupId: 'club' })
analytics.track({ ...shopper, event: 'Product Added', properties: { cart_id: 'node-cart', ...cup } })
analytics.track({ ...shopper, event: 'Cart Viewed', properties: { cart_id: 'node-cart', products: [cup] } })
analytics.track({ ...shopper, event: 'Something Of The Shop', properties: { anything: true } })
analytics.track({
  ...shopper,
  event: 'Order Completed',
  properties: { cart_id: 'node-cart', order_id: 'node-order', total: 25, currency: 'EUR', products: [cup] },
})
await analytics.closeAndFlush()
if (failures.length) {
  console.error(failures.join('\n'))
  process.exit(1)
}
