// SPDX-License-Identifier: Apache-2.0
// Strategy of every (step, layer) as a matrix, with the prediction of the selected cell.
import { strategyColor, resolved } from './colors.js';
import { facts, h, note, responsive, s, section, svg } from './dom.js';
import { bytes, count, interval, percent, plural, ratio, time } from './format.js';
import { table } from './table.js';

const SVG_MARKS = 5000;
const LEFT = 44;
const TOP = 18;

/** Indices of the strategies in use, by decreasing number of cells. The rank gives the colour. */
function ranking(plan) {
  return plan.strategies.map((s, i) => [s.cells, i]).filter(([cells]) => cells > 0).sort((a, b) => b[0] - a[0] || a[1] - b[1]).map(([, i]) => i);
}

function gridOf(plan) {
  const steps = [...new Set(plan.cells.step)].sort((a, b) => a - b);
  const layers = [...new Set(plan.cells.layer)].sort((a, b) => a - b);
  const row = new Map(steps.map((step, i) => [step, i]));
  const column = new Map(layers.map((layer, i) => [layer, i]));
  const cells = plan.cells.step.map((step, i) => ({
    i, row: row.get(step), column: column.get(plan.cells.layer[i]), step, layer: plan.cells.layer[i],
    strategy: plan.cells.strategy[i], prediction: plan.predictions[plan.cells.prediction[i]], replayed: plan.cells.replayed_ns[i],
  }));
  return { steps, layers, cells, at: new Map(cells.map((cell) => [`${cell.row},${cell.column}`, cell])) };
}

function describe(cell, plan) {
  const p = cell.prediction;
  return [
    h('h3', {}, `Step ${cell.step}, layer ${cell.layer}: ${plan.strategies[cell.strategy].label}`),
    facts([
      ['Predicted', `${time(p.total_ns)} (${interval(p.low_ns, p.high_ns, time)})`],
      ['Replayed', cell.replayed === null ? null : time(cell.replayed)],
      ['Lower bound', time(p.lower_bound_ns)], ['Above the lower bound', p.lower_bound_ns > 0 ? percent(p.total_ns / p.lower_bound_ns - 1) : null],
      ['Compute time of the slowest rank', time(p.compute_ns)], ['Exposed exchange and copies', time(p.exchange_ns)],
      ['Imbalance ratio ρ', ratio(p.rho_barrier)], ['Bytes sent by the busiest rank', bytes(p.bytes_per_rank)], ['Fraction of Q, K, V, O moved', percent(p.moved_fraction)],
    ]),
  ];
}

function axisNames(grid, size) {
  const texts = [];
  const along = Math.ceil(26 / size);
  grid.steps.forEach((step, i) => {
    if (i % Math.ceil(14 / size) === 0) texts.push(s('text', { class: 'axis-name', x: LEFT - 6, y: TOP + (i + 0.5) * size + 4, 'text-anchor': 'end' }, step));
  });
  grid.layers.forEach((layer, i) => {
    if (i % along === 0) texts.push(s('text', { class: 'axis-name', x: LEFT + (i + 0.5) * size, y: TOP - 6, 'text-anchor': 'middle' }, layer));
  });
  return texts;
}

function paint(grid, place, width, cursor, label) {
  const size = Math.max(3, Math.min(26, Math.floor((width - LEFT - 4) / Math.max(1, grid.layers.length))));
  const height = TOP + grid.steps.length * size + 4;
  const box = (cell) => ({ x: LEFT + cell.column * size, y: TOP + cell.row * size, width: size - 1, height: size - 1 });
  const mark = s('rect', { class: 'cursor', ...box(cursor) });
  if (grid.cells.length <= SVG_MARKS) {
    const rects = grid.cells.map((cell) => s('rect', { ...box(cell), fill: strategyColor(place.get(cell.strategy)).fill }));
    return { node: svg(width, height, label, rects, mark, axisNames(grid, size)), box, size, mark };
  }
  const canvas = h('canvas', { width, height, role: 'img', 'aria-label': label, style: `width:${width}px;height:${height}px` });
  const context = canvas.getContext('2d');
  for (const cell of grid.cells) {
    const b = box(cell);
    context.fillStyle = resolved(strategyColor(place.get(cell.strategy)).fill);
    context.fillRect(b.x, b.y, b.width, b.height);
  }
  const overlay = svg(width, height, label, mark, axisNames(grid, size));
  overlay.setAttribute('aria-hidden', 'true');
  return { node: h('div', { class: 'layers', style: `height:${height}px` }, canvas, overlay), box, size, mark };
}

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function explorer(plan, place) {
  const grid = gridOf(plan);
  let cursor = grid.cells[0];
  let painted = null;
  const label = `Strategy of ${plural(grid.steps.length, 'step')} by ${plural(grid.layers.length, 'layer')}; the arrow keys move the cursor`;
  const detail = h('div', { class: 'detail-panel', 'aria-live': 'polite' });
  const host = h('div', { class: 'plot matrix', tabindex: 0, role: 'group', 'aria-label': label });
  const move = (cell) => {
    if (!cell) return;
    cursor = cell;
    for (const [name, value] of Object.entries(painted.box(cell))) painted.mark.setAttribute(name, value);
    detail.replaceChildren(...describe(cell, plan));
  };
  host.addEventListener('keydown', (event) => {
    const by = MOVES[event.key];
    if (!by) return;
    event.preventDefault();
    move(grid.at.get(`${cursor.row + by[0]},${cursor.column + by[1]}`));
  });
  host.addEventListener('click', (event) => {
    const frame = painted.node.getBoundingClientRect();
    const column = Math.floor((event.clientX - frame.left - LEFT) / painted.size);
    const row = Math.floor((event.clientY - frame.top - TOP) / painted.size);
    move(grid.at.get(`${row},${column}`));
  });
  responsive(host, (width) => {
    painted = paint(grid, place, width, cursor, label);
    return painted.node;
  });
  detail.replaceChildren(...describe(cursor, plan));
  return h('div', {}, h('p', { class: 'axes-note' }, 'Rows are steps, columns are layers.'), host, detail);
}

function legendTable(plan, order) {
  const rows = order.map((i, place) => ({ ...plan.strategies[i], place }));
  const swatch = (label, row) => h('span', {}, h('span', { class: 'key', style: `background:${strategyColor(row.place).fill}` }), label);
  return table([
    { name: 'Strategy', value: (r) => r.label, text: swatch },
    { name: 'Cells', value: (r) => r.cells, text: count, number: true },
    { name: 'Predicted, all cells', value: (r) => r.total_ms, text: (v) => time(v * 1e6), number: true },
    { name: 'Imbalance ρ', value: (r) => r.rho_barrier, text: ratio, number: true },
    { name: 'Kernel', value: (r) => r.kernel || 'device default' },
    rows.some((r) => r.layout !== 'given') && { name: 'Layout', value: (r) => r.layout },
  ].filter(Boolean), rows, { caption: 'Strategies of the plan' });
}

export function matrixSection(plan) {
  if (plan.cells.step.length === 0) return section('matrix', 'Strategy of every step and layer', note('The plan has no cells.'));
  const order = ranking(plan);
  const place = new Map(order.map((strategy, i) => [strategy, i]));
  return section('matrix', 'Strategy of every step and layer',
    plan.cells_total > plan.cells.step.length ? note(`The first ${count(plan.cells.step.length)} of ${count(plan.cells_total)} cells are shown.`) : null,
    explorer(plan, place), legendTable(plan, order));
}
