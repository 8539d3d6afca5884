// SPDX-License-Identifier: Apache-2.0
// Active blocks per rank of one cell: plain ulysses, plain ring, and the plan.
import { axisX, axisY, barY, ruleY } from '@observablehq/plot';
import { h, note } from './dom.js';
import { clip, count, ratio } from './format.js';
import { chart, legendOf } from './plot.js';
import { dataTable } from './table.js';

function summary(load, mean) {
  const peak = Math.max(...load.blocks);
  return `${load.name}: active blocks per rank, maximum ${count(peak)}, mean ${count(mean)}, ratio ${ratio(load.peak_over_mean)}`;
}

/** Bars of one strategy: up to the mean in one colour, above it in another. */
function bars(load, mean, top) {
  const rows = load.blocks.map((blocks, rank) => ({ rank, blocks }));
  const every = Math.ceil(rows.length / 16);
  const below = rows.map((r) => ({ ...r, top: Math.min(r.blocks, mean) }));
  const above = rows.filter((r) => r.blocks > mean * 1.0005);
  return {
    height: 128, marginLeft: 40, marginRight: 4, marginTop: 8, marginBottom: 22,
    x: { domain: rows.map((r) => r.rank), label: null, padding: rows.length > 32 ? 0.1 : 0.2 }, y: { domain: [0, top], label: null },
    marks: [
      axisX({ ticks: rows.map((r) => r.rank).filter((r) => r % every === 0), tickSize: 0 }), axisY({ ticks: 3, tickFormat: '~s' }),
      barY(below, { x: 'rank', y1: 0, y2: 'top', className: 'bar' }),
      barY(above, { x: 'rank', y1: () => mean, y2: 'blocks', className: 'bar-above', title: (r) => `rank ${r.rank}: ${count(r.blocks)} blocks` }),
      ruleY([mean], { className: 'bound' }),
    ],
  };
}

function panel(load, mean, top) {
  return chart({
    title: `${clip(load.name, 40)}: ${ratio(load.peak_over_mean)} × mean`, label: summary(load, mean),
    attributes: { 'data-chart': load.name, 'data-blocks': JSON.stringify(load.blocks) }, options: () => bars(load, mean, top),
  });
}

function loadTable(charts, ranks) {
  const rows = [...Array(ranks).keys()].map((rank) => ({ rank, values: charts.map((c) => c.blocks[rank]) }));
  const columns = [{ name: 'Rank', value: (r) => r.rank, number: true },
    ...charts.map((c, i) => ({ name: c.name, value: (r) => r.values[i], text: count, number: true }))];
  return dataTable('Table of these bars', columns, rows, 'Active blocks per rank');
}

export function loadView(cell) {
  const load = cell.load;
  if (load.missing) return note(load.missing);
  const top = Math.max(load.mean, 1, ...load.charts.flatMap((c) => c.blocks));
  return h('div', { class: 'load' },
    h('div', { class: 'panels' }, load.charts.map((c) => panel(c, load.mean, top))),
    legendOf([[`mean of ${load.passes > 1 ? `all ${load.ranks} ranks, both passes` : `${load.ranks} ranks`}: ${count(load.mean)} blocks, the least that the busiest rank can have`, 'bound-key'], ['above the mean', 'above']]),
    load.note ? note(load.note) : null,
    loadTable(load.charts, load.ranks));
}
