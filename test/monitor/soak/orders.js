// How the processes of the soak talk: an order is one message, and its answer is one.

/** @param {Record<string, (order: any) => unknown>} orders */
export function answer(orders) {
  process.on('message', async (/** @type {{ name: string }} */ order) => {
    process.send?.(await orders[order.name]?.(order));
  });
  process.on('disconnect', () => process.exit());
}
