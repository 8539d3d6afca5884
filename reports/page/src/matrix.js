// SPDX-License-Identifier: Apache-2.0
// Steps across, layers down: a heat map with sums at its sides. The chosen cell is part of the
// selection; load.js and cell.js show it beside the map.
import { cellPanel } from './cell.js';
import { diverging, onColors, placeColor, resolved, sequential } from './colors.js';
import { guarded, h, labelled, note, responsive, s, section, select } from './dom.js';
import { clip, count, percent, plural, ratio, time, times } from './format.js';
import { marginals, modesOf, namesOf } from './modes.js';
import { dataTable, table } from './table.js';

const LEFT = 34;
const TOP = 44;
const RIGHT = 46;
const BOTTOM = 30;
const MOST_HEIGHT = 560;

export const sayIn = { times, percent, time, ratio };

/** How a mode colours the cells of a plan: color(cell), text(cell) and a legend. */
export function scaleOf(grid, mode) {
  if (mode.kind === 'names') {
    const names = namesOf(grid, mode);
    const place = new Map(names.map(([name], i) => [name, i]));
    return {
      color: (cell) => placeColor(place.get(mode.value(cell))), text: (cell) => String(mode.value(cell)),
      legend: names.slice(0, 9).map(([name, cells], i) => ({ name: `${clip(name, 44)} (${plural(cells, 'cell')})`, color: placeColor(i) })),
    };
  }
  const values = grid.cells.map(mode.value).filter((v) => v !== null && Number.isFinite(v));
  const low = Math.min(...values);
  const high = Math.max(...values);
  const say = sayIn[mode.unit];
  const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const at = mode.kind === 'signed' ? (v) => diverging(v / most) : (v) => sequential(high > low ? (v - low) / (high - low) : 0.5);
  return {
    color: (cell) => { const v = mode.value(cell); return v === null || !Number.isFinite(v) ? 'var(--panel)' : at(v); },
    text: (cell) => { const v = mode.value(cell); return v === null ? 'not known' : say(v); },
    ramp: mode.kind === 'signed' ? { low: say(-most), high: say(most), color: (t) => diverging(2 * t - 1) } : { low: say(low), high: say(high), color: sequential },
  };
}

function legend(scale) {
  if (scale.legend) return h('p', { class: 'legend' }, scale.legend.map(({ name, color }) => h('span', { class: 'entry' }, h('span', { class: 'key', style: `background:${color}` }), name)));
  const stops = Array.from({ length: 9 }, (_, i) => scale.ramp.color(i / 8)).join(',');
  return h('p', { class: 'legend ramp' }, scale.ramp.low, h('span', { class: 'gradient', style: `background:linear-gradient(90deg,${stops})` }), scale.ramp.high);
}

function axisNames(grid, g) {
  const names = [];
  const every = (size, room) => [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((n) => n * size >= room) ?? 2000;
  const down = every(g.cellHeight, 15);
  const across = every(g.cellWidth, 30);
  grid.layers.forEach((layer, i) => { if (i % down === 0) names.push(s('text', { class: 'axis-name', x: LEFT - 6, y: TOP + (i + 0.5) * g.cellHeight + 4, 'text-anchor': 'end' }, layer)); });
  grid.steps.forEach((step, i) => { if (i % across === 0) names.push(s('text', { class: 'axis-name', x: LEFT + (i + 0.5) * g.cellWidth, y: g.bottom + 14, 'text-anchor': 'middle' }, step)); });
  names.push(s('text', { class: 'axis-name', x: LEFT, y: 12 }, 'time per step'), s('text', { class: 'axis-name', x: LEFT, y: g.bottom + 27 }, 'denoising step across, layer down; bars: sums of predicted time'));
  return names;
}

function geometry(grid, width) {
  const room = width - LEFT - RIGHT;
  const cellWidth = Math.max(2, Math.min(120, room / grid.steps.length));
  const cellHeight = Math.max(1, Math.min(40, (MOST_HEIGHT - TOP - BOTTOM) / grid.layers.length));
  const mapWidth = cellWidth * grid.steps.length;
  const bottom = TOP + cellHeight * grid.layers.length;
  return { width, cellWidth, cellHeight, mapWidth, bottom, height: bottom + BOTTOM, gap: Math.min(cellWidth, cellHeight) >= 5 ? 1 : 0 };
}

function paint(canvas, grid, scale, g) {
  const density = globalThis.devicePixelRatio || 1;
  canvas.width = Math.round(g.width * density);
  canvas.height = Math.round(g.height * density);
  canvas.style.width = `${g.width}px`;
  canvas.style.height = `${g.height}px`;
  const context = canvas.getContext('2d');
  context.scale(density, density);
  for (const cell of grid.cells) {
    context.fillStyle = resolved(scale.color(cell));
    context.fillRect(LEFT + cell.column * g.cellWidth, TOP + cell.row * g.cellHeight, g.cellWidth - g.gap, g.cellHeight - g.gap);
  }
  const sums = marginals(grid);
  context.fillStyle = resolved('var(--soft)');
  const most = Math.max(...sums.steps);
  sums.steps.forEach((ns, i) => { const high = (ns / most) * (TOP - 22); context.fillRect(LEFT + i * g.cellWidth, TOP - 4 - high, g.cellWidth - g.gap, high); });
  const widest = Math.max(...sums.layers);
  sums.layers.forEach((ns, i) => context.fillRect(LEFT + g.mapWidth + 4, TOP + i * g.cellHeight, (ns / widest) * (RIGHT - 8), g.cellHeight - g.gap));
}

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** A heat map of `modes` with sums at its sides. chosen() is the cell that is marked. */
export function heatMap(grid, store, chosen, modes) {
  let mode = modes[0];
  let scale = scaleOf(grid, mode);
  let g = null;
  const canvas = h('canvas');
  const mark = s('rect', { class: 'cursor' });
  const keys = h('div');
  const tip = h('p', { class: 'tip', 'aria-hidden': 'true' });
  const host = h('div', { class: 'plot matrix', tabindex: 0, role: 'application', 'aria-roledescription': 'heat map' });
  const draw = () => { if (g) paint(canvas, grid, scale, g); };
  const place = () => {
    const cell = chosen();
    if (!cell || !g) return;
    const box = { x: LEFT + cell.column * g.cellWidth - 1, y: TOP + cell.row * g.cellHeight - 1, width: g.cellWidth + 1, height: g.cellHeight + 1 };
    for (const [name, value] of Object.entries(box)) mark.setAttribute(name, value);
    host.setAttribute('aria-label', `${mode.name} of ${plural(grid.steps.length, 'step')} by ${plural(grid.layers.length, 'layer')}; the arrow keys choose a cell. Step ${cell.step}, layer ${cell.layer}: ${scale.text(cell)}`);
    tip.textContent = `Step ${cell.step}, layer ${cell.layer}: ${scale.text(cell)}`;
  };
  const at = (event) => {
    const frame = canvas.getBoundingClientRect();
    return grid.at.get(`${Math.floor((event.clientY - frame.top - TOP) / g.cellHeight)},${Math.floor((event.clientX - frame.left - LEFT) / g.cellWidth)}`);
  };
  host.addEventListener('keydown', (event) => {
    const by = MOVES[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const cell = chosen();
    const next = grid.at.get(`${cell.row + by[0]},${cell.column + by[1]}`);
    if (next) store.set({ step: next.step, layer: next.layer });
  });
  host.addEventListener('click', (event) => { const cell = at(event); if (cell) store.set({ step: cell.step, layer: cell.layer }); });
  host.addEventListener('mousemove', (event) => { const cell = at(event); if (cell) tip.textContent = `Step ${cell.step}, layer ${cell.layer}: ${scale.text(cell)}`; });
  host.addEventListener('mouseleave', place);
  responsive(host, (width) => {
    g = geometry(grid, width);
    draw();
    place();
    const overlay = s('svg', { viewBox: `0 0 ${g.width} ${g.height}`, width: g.width, height: g.height, 'aria-hidden': 'true' }, axisNames(grid, g), mark);
    return h('div', { class: 'layers', style: `height:${g.height}px` }, canvas, overlay);
  });
  onColors(() => host.isConnected && draw());
  const show = (id) => {
    mode = modes.find((m) => m.id === id);
    scale = scaleOf(grid, mode);
    keys.replaceChildren(h('span', { class: 'print-only' }, `${mode.name}: `), legend(scale));
    draw();
    place();
  };
  show(mode.id);
  const picker = modes.length > 1 ? labelled('Colour by', select(modes.map((m) => [m.id, m.name]), mode.id, show)) : h('strong', {}, mode.name);
  return { node: h('div', { class: 'map' }, h('div', { class: 'controls' }, picker, keys), host, tip), place };
}

function strategyTable(plan) {
  const rows = plan.strategies.filter((r) => r.cells > 0).sort((a, b) => b.cells - a.cells);
  return table([
    { name: 'Strategy', value: (r) => r.label },
    { name: 'Cells', value: (r) => r.cells, text: count, number: true },
    { name: 'Predicted, all cells', value: (r) => r.total_ms * 1e6, unit: 'time', number: true },
    { name: 'Imbalance ρ', value: (r) => r.rho_barrier, text: ratio, number: true },
    { name: 'Kernel', value: (r) => r.kernel || 'device default' },
    rows.some((r) => r.layout !== 'given') && { name: 'Layout', value: (r) => r.layout },
  ].filter(Boolean), rows, { caption: 'Strategies of the plan' });
}

function cellTable(grid) {
  const modes = modesOf(grid);
  return dataTable(`Table of ${plural(grid.cells.length, 'cell')}`, [
    { name: 'Step', value: (c) => c.step, number: true }, { name: 'Layer', value: (c) => c.layer, number: true },
    ...modes.map((mode) => ({ name: mode.name, value: mode.value, unit: mode.unit === 'time' ? 'time' : undefined, text: mode.kind === 'names' || mode.unit === 'time' ? undefined : (v) => sayIn[mode.unit](v), number: mode.kind !== 'names' })),
  ], grid.cells, 'Cells of the plan');
}

/** The section of layers and steps. `cellOf(selection)` is the cell that a selection means. */
export function matrixSection(data, plan, store, grid, cellOf) {
  if (grid.cells.length === 0) return section('matrix', 'Layers and steps', note('The plan has no cells.'));
  const panel = h('div', { class: 'cell-panel', 'aria-live': 'polite' });
  const map = heatMap(grid, store, () => cellOf(store.get()), modesOf(grid));
  const show = () => {
    map.place();
    panel.replaceChildren(guarded(() => cellPanel(data, plan, cellOf(store.get()))));
  };
  store.on(['step', 'layer'], show);
  queueMicrotask(show);
  return section('matrix', 'Layers and steps',
    h('p', { class: 'note' }, 'Each square is one layer in one denoising step. Arrow keys or a click choose a cell; its loads, timeline and masks follow. Esc goes back to the first cell.',
      plan.cells_total > plan.cells.step.length ? ` The first ${count(plan.cells.step.length)} of ${count(plan.cells_total)} cells are shown.` : '',
      plan.shown_total < grid.cells.length ? ` ${plural(plan.shown_total, 'cell')} differ; the others have the masks and the strategy of one of them.` : ''),
    h('div', { class: 'map-and-cell' }, h('div', {}, map.node, cellTable(grid), strategyTable(plan)), panel));
}
