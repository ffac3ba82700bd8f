// @ts-check
import { between, createRandom, pick, randomDigits } from './random.js';
import { words } from './words.js';

const given = [
  'Ada',
  'Amir',
  'Anna',
  'Bruno',
  'Chen',
  'Clara',
  'Dilek',
  'Elias',
  'Emma',
  'Farid',
  'Grace',
  'Hana',
  'Ivo',
  'Jonas',
  'Kofi',
  'Lena',
  'Maja',
  'Nils',
  'Olga',
  'Pia',
  'Rosa',
  'Sven',
  'Tariq',
  'Uma',
  'Vera',
  'Yuki',
];
const family = [
  'Abbott',
  'Bauer',
  'Costa',
  'Dubois',
  'Eriksen',
  'Fischer',
  'Garcia',
  'Haddad',
  'Ito',
  'Jansen',
  'Keller',
  'Lopez',
  'Meyer',
  'Novak',
  'Okafor',
  'Petrov',
  'Rossi',
  'Silva',
  'Tanaka',
  'Virtanen',
  'Weber',
  'Young',
  'Zhang',
];
const cities = [
  'Aachen',
  'Bergen',
  'Bilbao',
  'Cork',
  'Dresden',
  'Eindhoven',
  'Genoa',
  'Graz',
  'Lille',
  'Lund',
  'Malmö',
  'Nantes',
  'Oulu',
  'Porto',
  'Riga',
  'Split',
  'Turin',
  'Vilnius',
  'Zürich',
];
const states = ['new', 'paid', 'packed', 'shipped', 'delivered', 'returned'];

/** @param {() => number} random */
function makeOrder(random) {
  const first = pick(random, given);
  const last = pick(random, family);
  const lines = Array.from({ length: between(random, 1, 3) }, () => ({
    sku: `${randomDigits(random, 3, 36).toUpperCase()}-${between(random, 1000, 9999)}`,
    quantity: between(random, 1, 12),
    price: between(random, 199, 24_999) / 100,
  }));
  return {
    id: `ord_${randomDigits(random, 16, 36)}`,
    number: between(random, 100_000, 999_999),
    customer: {
      id: between(random, 1, 90_000),
      name: `${first} ${last}`,
      email: `${first}.${last}${between(random, 1, 99)}@example.com`.toLowerCase(),
      city: pick(random, cities),
    },
    state: pick(random, states),
    createdAt: new Date(1_767_225_600_000 + between(random, 0, 31_536_000) * 1000).toISOString(),
    lines,
    total: Math.round(lines.reduce((sum, { quantity, price }) => sum + quantity * price * 100, 0)) / 100,
    currency: 'EUR',
    note: random() < 0.3 ? null : Array.from({ length: between(random, 3, 14) }, () => pick(random, words)).join(' '),
  };
}

/**
 * A page of orders whose JSON has about so many bytes: names, numbers and short texts, as different from each other as
 * those of a real service. Always the same ones.
 * @param {number} bytes
 */
export function makeOrders(bytes) {
  const random = createRandom(bytes);
  const page = { page: 3, pages: 41, orders: [makeOrder(random)] };
  while (JSON.stringify(page).length < bytes - 200) page.orders.push(makeOrder(random));
  return page;
}
