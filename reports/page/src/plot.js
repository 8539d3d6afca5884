// SPDX-License-Identifier: Apache-2.0
// Observable Plot under the page's content policy.
import { plot as makePlot } from '@observablehq/plot';
import { h, responsive } from './dom.js';

/** Heights and margins follow the size of the text, which grows on large screens. */
function enlarged(options) {
  const factor = Math.max(1, parseFloat(getComputedStyle(document.documentElement).fontSize) / 15.4);
  const sizes = ['height', 'marginLeft', 'marginRight', 'marginTop', 'marginBottom'].filter((name) => options[name] !== undefined);
  return { ...options, ...Object.fromEntries(sizes.map((name) => [name, Math.round(options[name] * factor)])) };
}

/** A figure with a caption whose chart is drawn again at every width. `options(width)` are Plot's
 * options. `label` says in words what the chart shows. */
export function chart({ title, label, legend = null, options, attributes = {} }) {
  const host = h('div', { class: 'plot' });
  responsive(host, (width) => {
    const svg = makePlot({ width, ...enlarged(options(width)) });
    // Plot adds a style element, which the content policy refuses. style.css has its rules.
    for (const style of svg.querySelectorAll('style')) style.remove();
    svg.setAttribute('class', 'chart');
    svg.setAttribute('role', 'img');
    svg.setAttribute('aria-label', label);
    // Groups of marks have labels of their own ("y-axis tick label"), which roles do not allow.
    for (const group of /** @type {NodeListOf<SVGGElement>} */ (svg.querySelectorAll('g[aria-label]'))) {
      group.dataset.mark = group.getAttribute('aria-label');
      group.removeAttribute('aria-label');
    }
    return svg;
  });
  return h('figure', { class: 'chart-figure', ...attributes }, h('figcaption', {}, h('strong', {}, title)), legend, host);
}

/** Colours and their names as text. entries: [[name, class of the key], ...] */
export function legendOf(entries) {
  return h('p', { class: 'legend' }, entries.map(([name, key]) => h('span', { class: 'entry' }, h('span', { class: `key ${key}`, 'aria-hidden': 'true' }), name)));
}
