import { sum } from './made/0'
import data from './data.json'
import dot from './dot.png'
import './style.css'

namespace Words { export const hello = 'hello' }
enum Kind { A, B = 5, C }

class Box<T> {
  static #made = 0
  constructor(private value: T, readonly kind = Kind.C) { Box.#made++ }
  get double() { return [this.value, this.value] as const }
}

export function* numbers(limit: number) { for (let i = 0; i < limit; i++) yield i ** 2 }
export const box = new Box(data?.name ?? 'nobody')
if (process.env.NODE_ENV !== 'production') console.log('left out')
console.log(Words.hello, box.double, sum, dot, [...numbers(3)], <p class="x">text {box.kind}</p>)
import('./late').then(m => m.default())
