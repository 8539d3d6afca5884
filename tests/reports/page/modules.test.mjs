// SPDX-License-Identifier: Apache-2.0
// The pure modules of the page against obvious implementations: node --test modules.test.mjs
import assert from 'node:assert/strict';
import test from 'node:test';
import { columnUnit, csvOf, inUnit, thinned, thinnedNote } from '../../../reports/page/src/format_units.js';
import { contentionOf, criticalPath, idleOf, laneMarks, lengthOf, subtract, sumsOf, timelineOf, union } from '../../../reports/page/src/intervals.js';
import { firstCell, gridOf, marginals, MODES, modesOf } from '../../../reports/page/src/modes.js';
import { quoted, sqlOf } from '../../../reports/page/src/sql.js';
import { changed, createStore, formatSelection, levelUp, NOTHING, parseSelection } from '../../../reports/page/src/selection.js';

/** Small repeatable generator, so that a failure can be repeated. */
function generator(seed) {
  let state = seed;
  return (below) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * below);
  };
}

const randomIntervals = (next) => Array.from({ length: next(6) }, () => {
  const start = next(20);
  return [start, start + next(8)];
});
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
    assert.equal(lengthOf(union(a), 3, 17), unitsOf(a).filter((unit) => unit >= 3 && unit < 17).length, `seed ${seed}`);
  }
});

const KINDS = ['pack', 'exchange', 'unpack', 'attention', 'hop', 'merge'];

/** A timeline of segments [rank, kind, start, end, alone]. */
function made(segments, ranks) {
  return timelineOf({
    rank: segments.map((s) => s[0]), kind: segments.map((s) => KINDS.indexOf(s[1])), index: segments.map((_, i) => i),
    start_ns: segments.map((s) => s[2]), duration_ns: segments.map((s) => s[3] - s[2]), bytes: segments.map(() => 0), alone_ns: segments.map((s) => s[4] ?? null),
  }, KINDS, ranks);
}

function randomTimeline(next) {
  const segments = [];
  for (let rank = 0; rank < 3; ++rank) {
    for (const kind of ['attention', 'exchange']) {
      let at = next(4);
      for (let i = next(5); i > 0; --i) {
        const end = at + 1 + next(5);
        segments.push([rank, kind, at, end]);
        at = end + next(4);
      }
    }
  }
  return made(segments, 3);
}

test('exposed, waiting and busy fill the time of every rank, and sums agree with counting units', () => {
  for (let seed = 1; seed <= 200; ++seed) {
    const timeline = randomTimeline(generator(seed));
    const idle = idleOf(timeline);
    const sums = sumsOf(timeline, idle, 2, 15);
    for (let rank = 0; rank < 3; ++rank) {
      const busy = (list, unit) => Array.from(list).some((i) => timeline.start[i] <= unit && unit < timeline.stop[i]);
      for (let unit = 0; unit < timeline.end; ++unit) {
        const device = busy(timeline.device[rank], unit);
        const link = busy(timeline.link[rank], unit);
        assert.equal(covered(idle[rank].exposed, unit), link && !device, `seed ${seed}`);
        assert.equal(covered(idle[rank].waiting, unit), !link && !device, `seed ${seed}`);
      }
      const units = [...Array(13).keys()].map((i) => i + 2);
      assert.equal(sums[rank].kinds.attention ?? 0, units.filter((unit) => busy(timeline.device[rank], unit)).length, `seed ${seed}`);
    }
  }
});

test('contention is the part that a segment takes longer than alone', () => {
  const timeline = made([[0, 'attention', 0, 10, 7], [0, 'attention', 10, 20]], 1);
  assert.equal(contentionOf(timeline, 0), 3);
  assert.equal(contentionOf(timeline, 1), 0);
  assert.equal(sumsOf(timeline, idleOf(timeline), 0, 5)[0].contention, 1.5);
});

test('the critical path ends last, is connected and does not overlap', () => {
  const timeline = made([[0, 'pack', 0, 2], [0, 'exchange', 2, 6], [1, 'pack', 0, 3], [1, 'exchange', 3, 4], [0, 'attention', 6, 9], [1, 'attention', 6, 14]], 2);
  assert.deepEqual(criticalPath(timeline), [0, 1, 5]);
  for (let seed = 1; seed <= 200; ++seed) {
    const random = randomTimeline(generator(seed));
    const path = criticalPath(random);
    if (random.n === 0) continue;
    assert.equal(random.stop[path[path.length - 1]], random.end, `seed ${seed}`);
    path.forEach((i, k) => assert.ok(k === 0 || random.stop[path[k - 1]] <= random.start[i], `seed ${seed}`));
  }
});

test('a million segments become at most two rectangles per pixel, and keep their time', () => {
  const n = 1000000;
  const columns = {
    rank: new Int32Array(n), kind: Int32Array.from({ length: n }, (_, i) => (i % 10 === 0 ? 0 : 3)), index: new Int32Array(n),
    start_ns: Float64Array.from({ length: n }, (_, i) => i * 10), duration_ns: new Int32Array(n).fill(10), bytes: new Int32Array(n),
  };
  const timeline = timelineOf(columns, KINDS, 1);
  const marks = laneMarks(timeline, timeline.device[0], 0, timeline.end, 1000);
  assert.ok(marks.length <= 2001, `${marks.length} rectangles`);
  assert.equal(marks.length, 1000);
  assert.ok(marks.every((mark) => mark.kind === 3), 'the kind that fills most of a pixel');
  const near = laneMarks(timeline, timeline.device[0], 4000000, 4000100, 1000);
  assert.deepEqual(near.map((mark) => [mark.x, mark.width]), Array.from({ length: 10 }, (_, i) => [i * 100, 100]));
});

test('a selection survives the address, and nonsense in the address is nothing', () => {
  const selection = { section: 'timeline', plan: 2, step: 3, layer: 40, rank: 1, head: null, from: 10, to: 4000000000 };
  assert.deepEqual(parseSelection(formatSelection(selection)), selection);
  assert.equal(formatSelection(NOTHING), '');
  for (const fragment of ['', '#', '#&&', '#step=1', '#step=-1&layer=2', '#step=1e3&layer=0x1', '#from=5&to=5', '#from=9&to=1', '#plan', '#=', '#constructor=1&__proto__=2']) {
    const parsed = parseSelection(fragment);
    assert.deepEqual({ ...parsed, section: null }, NOTHING, fragment);
    assert.deepEqual(Object.keys(parsed).sort(), Object.keys(NOTHING).sort(), fragment);
  }
});

test('Escape goes up one level at a time; a change drops what belongs to what it replaces', () => {
  const deep = { section: null, plan: 1, step: 2, layer: 3, rank: 4, head: null, from: 5, to: 6 };
  const second = levelUp(deep);
  assert.deepEqual([second.from, second.rank, second.step], [null, 4, 2]);
  const third = levelUp(second);
  assert.deepEqual([third.rank, third.step], [null, 2]);
  assert.deepEqual(levelUp(third), { ...NOTHING, plan: 1 });
  assert.deepEqual(levelUp(NOTHING), NOTHING);
  assert.deepEqual(changed(deep, { plan: 0 }), { ...NOTHING, plan: 0 });
  assert.deepEqual(changed(deep, { layer: 9 }), { ...NOTHING, plan: 1, step: 2, layer: 9 });
  assert.deepEqual(changed(deep, { rank: 0 }), { ...deep, rank: 0 });
});

test('the store tells only the views whose part changed', () => {
  const kept = [];
  const store = createStore(NOTHING, (selection) => kept.push(formatSelection(selection)));
  const seen = [];
  store.on(['step', 'layer'], () => seen.push('cell'));
  store.on(['rank'], () => seen.push('rank'));
  store.set({ step: 1, layer: 2 });
  store.set({ rank: 3 });
  store.set({ rank: 3 });
  assert.deepEqual(seen, ['cell', 'rank']);
  assert.equal(kept[kept.length - 1], '#step=1&layer=2&rank=3');
});

test('a column has one unit and one number of decimals', () => {
  const unit = columnUnit('time', [900, 1500000, 2000000, 90000000]);
  assert.deepEqual(unit, { size: 1e6, name: 'ms', decimals: 3 });
  assert.equal(inUnit(unit, 900), '0.001 ms');
  assert.equal(inUnit(unit, -1500000), '−1.500 ms');
  assert.equal(columnUnit('bytes', []).name, 'B');
  assert.equal(columnUnit('time', [0, 0]).name, 'ns');
});

test('CSV quotes what needs it and makes formulas harmless', () => {
  const columns = [{ name: 'A "b"', value: (r) => r.a }, { name: 'Time', unit: 'time', value: (r) => r.t }];
  assert.equal(csvOf(columns, [{ a: 'x,y\n', t: 1.5 }, { a: '=1+1', t: null }, { a: '-2', t: -2 }]), '"A ""b""",Time (ns)\r\n"x,y\n",1.5\r\n\'=1+1,\r\n\'-2,-2\r\n');
});

const PREDICTION = { total_ns: 100, low_ns: 90, high_ns: 110, compute_ns: 80, exchange_ns: 20, lower_bound_ns: 80, rho_barrier: 1.25, ulysses_ns: 150, ring_ns: null };
const PLAN = {
  passes: 2, cfg_degree: 2, strategies: [{ label: 'a', kernel: '' }, { label: 'b', kernel: '' }], predictions: [PREDICTION, { ...PREDICTION, total_ns: 300, ulysses_ns: null, lower_bound_ns: 0 }],
  cells: { step: [0, 0, 1], layer: [0, 5, 0], strategy: [0, 1, 0], prediction: [0, 1, 0], replayed_ns: [null, null, 120], rho_limit: [1.5, null, null] },
  shown: [{ prediction: 0, replayed: [] }], tuning: { close_calls: { step: [0], layer: [5] } },
};

test('cells have their numbers, missing ones stay missing', () => {
  const grid = gridOf(PLAN);
  assert.deepEqual([grid.steps, grid.layers], [[0, 1], [0, 5]]);
  const value = (id, cell) => MODES.find((mode) => mode.id === id).value(cell);
  const [a, b, c] = grid.cells;
  assert.equal(value('gain', a), 3, 'plain ulysses runs two passes one after the other, the plan at once');
  assert.equal(value('gain', b), null);
  assert.equal(value('bound', a), 0.25);
  assert.equal(value('bound', b), null, 'no bound is known');
  assert.ok(Math.abs(value('contract', a) - 0.2) < 1e-12);
  assert.equal(value('close', b), 'close call');
  assert.ok(Math.abs(value('replay', c) - 0.2) < 1e-12);
  assert.equal(grid.at.get('1,0'), b, 'layers down, steps across');
  assert.equal(b.shown, null);
  assert.deepEqual(marginals(grid), { steps: [400, 100], layers: [200, 300] });
  assert.ok(modesOf(grid).every((mode) => mode.id !== 'kernel'), 'one kernel is no mode');
  assert.equal(firstCell(grid), b);
});

test('a command quotes the name of the database', () => {
  assert.equal(sqlOf({ database: { name: "a'b $(x).db" } }, 'v_ledger', 'replay_id = 2'), "sqlite3 -header -column 'a'\\''b $(x).db' \"SELECT * FROM v_ledger WHERE replay_id = 2\"");
  assert.equal(quoted('p.db'), 'p.db');
  assert.equal(quoted('-p.db'), "'-p.db'");
  assert.equal(sqlOf({ database: null }, 'v_ledger'), null);
});

test('a chart of many points draws some at equal distances and says so', () => {
  assert.deepEqual(thinned([1, 2, 3], 3), [1, 2, 3]);
  assert.deepEqual(thinned([0, 1, 2, 3, 4, 5], 3), [0, 2, 4]);
  assert.equal(thinnedNote([1, 2], 2), '');
  assert.match(thinnedNote([1, 2, 3], 2), /draws 2 of 3 points/);
});
