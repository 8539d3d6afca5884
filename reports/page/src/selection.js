// SPDX-License-Identifier: Apache-2.0
// The one selection that drives all views: plan, cell (step and layer), rank, head and time range.
// It is kept in the fragment of the address: #timeline&plan=1&step=3&layer=10&rank=2&from=0&to=9000
// Pure: no access to the document.

/** @typedef {{section: string|null, plan: number, step: number|null, layer: number|null, rank: number|null, head: number|null, from: number|null, to: number|null}} Selection */

/** @type {Selection} */
export const NOTHING = Object.freeze({ section: null, plan: 0, step: null, layer: null, rank: null, head: null, from: null, to: null });

const NUMBERS = ['plan', 'step', 'layer', 'rank', 'head', 'from', 'to'];

/** Reads the fragment of an address. Unknown and malformed parts are left out.
 * @param {string} fragment @returns {Selection} */
export function parseSelection(fragment) {
  const selection = { ...NOTHING };
  for (const part of fragment.replace(/^#/, '').split('&')) {
    const [name, value] = part.split('=');
    if (value === undefined && /^[a-z]+$/.test(name)) selection.section = name;
    if (NUMBERS.includes(name) && /^\d{1,15}$/.test(value ?? '')) selection[name] = Number(value);
  }
  if ((selection.step === null) !== (selection.layer === null)) selection.step = selection.layer = null;
  if (selection.from === null || selection.to === null || selection.from >= selection.to) selection.from = selection.to = null;
  return selection;
}

/** @param {Selection} selection @returns {string} the fragment, '' for nothing */
export function formatSelection(selection) {
  const parts = selection.section ? [selection.section] : [];
  for (const name of NUMBERS) {
    if (selection[name] === null || (name === 'plan' && selection.plan === 0)) continue;
    parts.push(`${name}=${Math.round(selection[name])}`);
  }
  return parts.length ? `#${parts.join('&')}` : '';
}

/** What Escape leaves: first the time range goes, then rank and head, then the cell.
 * @param {Selection} selection @returns {Selection} */
export function levelUp(selection) {
  if (selection.from !== null) return { ...selection, from: null, to: null };
  if (selection.rank !== null || selection.head !== null) return { ...selection, rank: null, head: null };
  return { ...selection, step: null, layer: null };
}

/** What remains of a selection after a change: another plan drops its cell, another cell its ranks
 * and times.
 * @param {Selection} selection @param {Partial<Selection>} change @returns {Selection} */
export function changed(selection, change) {
  const next = { ...selection, ...change };
  const has = (name) => name in change;
  if (has('plan') && change.plan !== selection.plan) {
    for (const name of ['step', 'layer', 'rank', 'head', 'from', 'to']) if (!has(name)) next[name] = null;
  } else if (next.step !== selection.step || next.layer !== selection.layer) {
    for (const name of ['rank', 'head', 'from', 'to']) if (!has(name)) next[name] = null;
  }
  return next;
}

/** A store: get() is the selection, set(change) changes it, on(names, use) calls `use` with the new
 * selection when one of the named parts has changed. A view that throws does not stop the others.
 * @param {Selection} initial @param {(selection: Selection) => void} keep */
export function createStore(initial, keep) {
  let selection = initial;
  let views = [];
  const replace = (next) => {
    const before = selection;
    selection = next;
    keep(selection);
    for (const { names, use } of views.slice()) {
      if (names.some((name) => before[name] !== selection[name])) use(selection);
    }
  };
  return {
    get: () => selection,
    set: (change) => replace(changed(selection, change)),
    up: () => replace(levelUp(selection)),
    replace,
    on: (names, use) => { views.push({ names, use }); },
    forget: () => { views = views.filter((view) => view.names.includes('plan')); },
  };
}
