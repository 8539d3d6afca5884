// SPDX-License-Identifier: Apache-2.0
// Helpers that create DOM elements. Text is always set as text and never parsed as HTML.

function apply(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    // The content policy refuses style attributes, but not styles that the script sets as properties.
    else if (name === 'style') element.style.cssText = value;
    else if (value === true) element.setAttribute(name, '');
    else element.setAttribute(name, String(value));
  }
}

function fill(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  apply(element, attributes);
  return fill(element, children);
}

export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  apply(element, attributes);
  return fill(element, children);
}

/** An SVG of the given size in px that shrinks with its container (in print and narrow windows). */
export function svg(width, height, label, ...children) {
  return s(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-label': label },
    s('title', {}, label),
    ...children,
  );
}

/** A section with a heading, which the table of contents links to. */
export function section(id, title, ...children) {
  return h('section', { id, 'aria-labelledby': `${id}-title` }, h('h2', { id: `${id}-title`, tabindex: -1 }, title), ...children);
}

/** What stands in place of a part that could not be drawn. The console has the error's place. */
export function failure(error) {
  console.error(error);
  return h('p', { class: 'failure', role: 'alert' },
    `This part cannot be drawn: ${error.message}. The rest of the page is not affected; dbsp-report --json prints the data. Report it as a fault of dbsp-report.`);
}

/** The node that `make` returns, or the reason why there is none. */
export function guarded(make) {
  try {
    return make();
  } catch (error) {
    return failure(error);
  }
}

/** The section that `make` returns. When it fails, a section of the same name with the reason. */
export function guardedSection(id, title, make) {
  try {
    return make();
  } catch (error) {
    return section(id, title, failure(error));
  }
}

/** A node that is filled when `promise` is kept. */
export function later(promise, make) {
  const host = h('div');
  promise.then(() => host.replaceChildren(guarded(make)), (error) => host.replaceChildren(failure(error)));
  return host;
}

/** A list of names and values. Pairs without a value are left out. */
export function facts(pairs) {
  const list = h('dl', { class: 'facts' });
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === '') continue;
    list.append(h('div', {}, h('dt', {}, name), h('dd', {}, value)));
  }
  return list;
}

export function note(text) {
  return h('p', { class: 'note' }, text);
}

/** Draws into `host` at its width and redraws when the width changes. */
export function responsive(host, draw) {
  let width = 0;
  const redraw = () => {
    const now = Math.floor(host.clientWidth);
    // Not in the page yet, or folded: there is no width to draw for.
    if (now === 0 || now === width) return;
    width = now;
    host.replaceChildren(guarded(() => draw(width)));
  };
  new ResizeObserver(() => requestAnimationFrame(redraw)).observe(host);
  redraw();
  return () => {
    width = 0;
    redraw();
  };
}

/** A control with its label. */
export function labelled(text, control) {
  return h('label', { class: 'control' }, h('span', {}, text), control);
}

export function select(options, value, onchange) {
  const element = h('select', { onchange: () => onchange(element.value) });
  for (const [key, text] of options) element.append(h('option', { value: key }, text));
  element.value = value;
  return element;
}
