// SPDX-License-Identifier: Apache-2.0
// Draws the page from its data document and sets <body data-ready> when it is complete.
import { searchSection } from './candidates.js';
import { compareSection } from './compare.js';
import { readDocument } from './data.js';
import { failure, guarded, guardedSection, h, note, section } from './dom.js';
import { count, plural } from './format.js';
import { fillHeader, markCurrent } from './header.js';
import { kernelsSection } from './kernels.js';
import { masksSection } from './masks.js';
import { matrixSection } from './matrix.js';
import { measurementsSection } from './measurements.js';
import { firstCell, gridOf } from './modes.js';
import { provenanceSection } from './provenance.js';
import { createStore, formatSelection, parseSelection } from './selection.js';
import { unpackTimelines } from './streams.js';
import { timelineView } from './timeline.js';
import { trustSection } from './trust.js';
import { notices, verdictSection } from './verdict.js';

/** The timeline of the chosen cell. */
function timelineSection(data, plan, store, cellOf, unpacked) {
  const host = h('div');
  let view = null;
  let drawn = null;
  const show = () => {
    const cell = cellOf(store.get())?.shown ?? null;
    if (view && cell === drawn) return;
    drawn = cell;
    host.replaceChildren(guarded(() => {
      if (!cell) return note('This cell did not fit into the page; dbsp-report --json has the limits.');
      view = timelineView(cell, plan, data.segment_kinds, store);
      return view.node;
    }));
  };
  store.on(['step', 'layer'], show);
  store.on(['from', 'to', 'rank'], () => view?.draw());
  // Charts measure their container, so they are drawn after it was added to the page.
  unpacked.then(show, (error) => host.replaceChildren(failure(error)));
  const whole = plan.shown.filter((cell) => cell.predicted || cell.replayed?.length > 0).length;
  const some = plan.shown_total > whole && whole > 0
    ? note(`This page contains the timelines of ${count(whole)} of ${plural(plan.shown_total, 'distinct cell')}: of those that take the most time.`) : null;
  return section('timeline', 'Timeline of the cell', some, host);
}

/** Id, title and function of every section in the order of the page. A section that fails shows the
 * reason in its place; the others are drawn. */
function sectionsOf(data, plan, store) {
  const index = store.get().plan;
  const unpacked = plan ? unpackTimelines(plan, index, data.segment_kinds) : Promise.resolve();
  const grid = plan ? gridOfPlan(plan) : null;
  let first = null;
  const cellOf = ({ step, layer }) => {
    first ??= firstCell(grid);
    return grid.cells.find((cell) => cell.step === step && cell.layer === layer) ?? first;
  };
  const verdict = plan ? () => verdictSection(plan, data.notices)
    : () => section('verdict', 'Verdict', note(data.database ? 'No plan was given and the database has none, so there is nothing to judge yet.' : 'No plan was given, so there is nothing to judge yet.'), notices(data.notices));
  const list = [
    ['verdict', 'Verdict', verdict],
    plan && ['matrix', 'Layers and steps', () => matrixSection(data, plan, store, grid, cellOf)],
    plan && ['timeline', 'Timeline of the cell', () => timelineSection(data, plan, store, cellOf, unpacked)],
    plan && ['masks', 'Masks and who computes them', () => masksSection(plan, index, store)],
    plan && ['trust', 'Trust', () => trustSection(data, plan, unpacked)],
    ['search', 'Candidates and search', () => searchSection(data, plan, plan ? index : -1)],
    data.database && ['kernels', 'Kernels and links', () => kernelsSection(data, plan, unpacked)],
    data.plans.length > 1 && ['compare', 'Comparison of plans', () => compareSection(data, plan, store, cellOf)],
    ['measurements', 'Measurements', () => measurementsSection(data)],
    ['provenance', 'Provenance', () => provenanceSection(data, plan)],
  ];
  return { parts: list.filter(Boolean).flatMap(([id, title, make]) => guardedSection(id, title, make)), unpacked };
}

/** @returns {object[]} never */
function fail(error) {
  throw error;
}

/** The cells of a plan; a plan whose cells cannot be read has none, and its section says why. */
function gridOfPlan(plan) {
  try {
    return gridOf(plan);
  } catch (error) {
    return { steps: [], layers: [], at: new Map(), get cells() { return fail(error); } };
  }
}

function draw(data) {
  const root = document.getElementById('content');
  const initial = parseSelection(location.hash);
  const known = (selection) => ({ ...selection, plan: data.plans.length > 0 ? Math.min(selection.plan, data.plans.length - 1) : 0 });
  const store = createStore(known(initial), (selection) => {
    const fragment = formatSelection(selection);
    // A fragment of its own makes no request and no entry in the history for every key.
    if (fragment !== location.hash) history.replaceState(null, '', fragment || location.pathname + location.search);
  });
  /** @type {Iterable<HTMLAnchorElement>} */
  let links = [];
  let parts = [];
  let drawn = Promise.resolve();
  const current = () => { if (parts.length) return markCurrent(links, parts); return null; };
  const show = () => {
    store.forget();
    const plan = data.plans[store.get().plan];
    const made = sectionsOf(data, plan, store);
    parts = made.parts;
    drawn = made.unpacked.catch(() => {}); // its views say why
    links = fillHeader(data, plan, store, parts);
    root.replaceChildren(...parts);
    current();
  };
  const goTo = (id) => {
    const node = document.getElementById(id);
    if (!node) return;
    node.scrollIntoView();
    node.querySelector('h2')?.focus({ preventScroll: true });
  };
  store.on(['plan'], show);
  document.addEventListener('click', (event) => {
    const link = event.target instanceof Element && /** @type {HTMLAnchorElement|null} */ (event.target.closest('#bar nav a'));
    if (!link) return;
    event.preventDefault();
    store.set({ section: link.hash.slice(1) });
    goTo(link.hash.slice(1));
  });
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || (event.target instanceof Element && event.target.matches('input, select'))) return;
    store.up();
  });
  globalThis.addEventListener('hashchange', () => {
    if (location.hash === '#content') return;
    const selection = known(parseSelection(location.hash));
    store.replace(selection);
    if (selection.section) goTo(selection.section);
  });
  globalThis.addEventListener('scroll', () => requestAnimationFrame(current), { passive: true });
  const measure = () => document.documentElement.style.setProperty('--top', `${document.getElementById('top').offsetHeight}px`);
  new ResizeObserver(measure).observe(document.getElementById('top'));
  show();
  measure();
  if (initial.section) requestAnimationFrame(() => goTo(initial.section));
  return drawn;
}

async function start() {
  const content = document.getElementById('content');
  try {
    const data = await readDocument();
    await draw(data);
    // Charts are drawn one frame after their container has a width.
    for (let frame = 0; frame < 4; ++frame) await new Promise((done) => requestAnimationFrame(done));
    document.body.dataset.ready = 'ok';
  } catch (error) {
    content.replaceChildren(h('p', { class: 'failure', role: 'alert' }, `This page cannot be shown: ${error.message}`));
    document.body.dataset.ready = 'failed';
    throw error;
  }
}

start();
