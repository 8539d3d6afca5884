// SPDX-License-Identifier: Apache-2.0
// Active blocks per rank of one cell: plain ulysses, plain ring, and the plan.
import { axisBottom, axisLeft } from 'd3-axis';
import { scaleBand, scaleLinear } from 'd3-scale';
import { select as d3select } from 'd3-selection';
import { h, note, responsive, s, svg } from './dom.js';
import { count, ratio } from './format.js';
import { dataTable } from './table.js';

const MARGIN = { top: 10, right: 10, bottom: 36, left: 56 };

function summary(chart, mean) {
  const peak = Math.max(...chart.blocks);
  return `${chart.name}: active blocks per rank, maximum ${count(peak)}, mean ${count(mean)}, ratio ${ratio(chart.peak_over_mean)}`;
}

function axes(x, y, ranks, width, height) {
  const every = Math.ceil(ranks / 16);
  const bottom = s('g', { class: 'axis', transform: `translate(0,${height - MARGIN.bottom})` });
  const left = s('g', { class: 'axis', transform: `translate(${MARGIN.left},0)` });
  d3select(bottom).call(axisBottom(x).tickValues(x.domain().filter((rank) => rank % every === 0)).tickSizeOuter(0));
  d3select(left).call(axisLeft(y).ticks(4, '~s').tickSizeOuter(0));
  return [bottom, left, s('text', { class: 'axis-name', x: (MARGIN.left + width - MARGIN.right) / 2, y: height - 4, 'text-anchor': 'middle' }, 'rank')];
}

function bars(chart, mean, top, width) {
  const height = 190;
  const ranks = chart.blocks.length;
  const x = scaleBand([...Array(ranks).keys()], [MARGIN.left, width - MARGIN.right]).paddingInner(ranks > 32 ? 0.1 : 0.2);
  const y = scaleLinear([0, top], [height - MARGIN.bottom, MARGIN.top]).nice(4);
  const rects = chart.blocks.map((blocks, rank) => s('rect', {
    x: x(rank), width: x.bandwidth(), y: y(blocks), height: Math.max(0, y(0) - y(blocks)),
    class: blocks > mean * 1.0005 ? 'bar above' : 'bar', 'data-blocks': blocks,
  }, s('title', {}, `rank ${rank}: ${count(blocks)} blocks`)));
  const line = s('line', { class: 'mean', x1: MARGIN.left, x2: width - MARGIN.right, y1: y(mean), y2: y(mean) });
  return svg(width, height, summary(chart, mean), rects, line, axes(x, y, ranks, width, height));
}

function panel(chart, load, top) {
  const host = h('div', { class: 'plot' });
  const figure = h('figure', { class: 'panel', 'data-chart': chart.name },
    h('figcaption', {}, h('strong', {}, chart.name), ` maximum / mean ${ratio(chart.peak_over_mean)}`), host);
  responsive(host, (width) => bars(chart, load.mean, top, width));
  return figure;
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
  return h('div', {},
    load.passes > 1 ? note(`The bars show all ${load.ranks} ranks and all ${load.passes} guidance passes of a step. ${cell.pass_groups > 1 ? `The plan runs ${cell.pass_groups} passes at the same time on ${cell.ranks} ranks each; plain ulysses and ring run one after the other on all ranks.` : 'All strategies run one pass after the other on all ranks.'}`) : null,
    load.note ? note(load.note) : null,
    h('div', { class: 'panels' }, load.charts.map((chart) => panel(chart, load, top))),
    h('p', { class: 'legend' }, h('span', { class: 'key line' }), `mean ${count(load.mean)} blocks, the lower bound on the maximum`,
      h('span', { class: 'key above' }), 'above the mean'),
    loadTable(load.charts, load.ranks));
}
