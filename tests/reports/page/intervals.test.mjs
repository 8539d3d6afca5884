// SPDX-License-Identifier: Apache-2.0
// Interval arithmetic of the timeline against counting unit by unit.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';

// The module imports d3, which is only in the build folder; its pure functions are taken alone.
const source = await readFile(new URL('../../../reports/page/src/timeline.js', import.meta.url), 'utf8');
const pick = (name) => {
  const found = new RegExp(`export function ${name}\\([\\s\\S]*?\\n}\\n`).exec(source);
  assert.ok(found, `${name} is exported by timeline.js`);
  return found[0];
};
const code = `const LINK = new Set(['exchange', 'hop']);\n${pick('union')}${pick('subtract')}${pick('linkOnlyOf')}`;
const { union, subtract, linkOnlyOf } = await import(`data:text/javascript,${encodeURIComponent(code)}`);

/** Small repeatable generator, so that a failure can be repeated. */
function generator(seed) {
  let state = seed;
  return (below) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * below);
  };
}

function randomIntervals(next) {
  return Array.from({ length: next(6) }, () => {
    const start = next(20);
    return [start, start + next(8)];
  });
}

const covered = (intervals, unit) => intervals.some(([a, b]) => a <= unit && unit < b);
const unitsOf = (intervals) => [...Array(40).keys()].filter((unit) => covered(intervals, unit));

test('union and subtract agree with counting units', () => {
  for (let seed = 1; seed <= 300; ++seed) {
    const next = generator(seed);
    const a = randomIntervals(next);
    const b = randomIntervals(next);
    assert.deepEqual(unitsOf(union(a)), unitsOf(a), `seed ${seed}`);
    const expected = unitsOf(a).filter((unit) => !covered(b, unit));
    assert.deepEqual(unitsOf(subtract(union(a), union(b))), expected, `seed ${seed}`);
  }
});

test('link-only time is link time without device time of the same rank', () => {
  const segment = (rank, kind, start, end) => ({ rank, kind, start, end });
  const linkOnly = linkOnlyOf(
    [segment(0, 'exchange', 0, 10), segment(0, 'attention', 4, 8), segment(1, 'attention', 0, 10), segment(1, 'hop', 5, 12)],
    2,
  );
  assert.deepEqual(linkOnly, [[[0, 4], [8, 10]], [[10, 12]]]);
});
