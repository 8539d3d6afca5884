// SPDX-License-Identifier: Apache-2.0
// Elements without a framework. Text is always set as text, never parsed as HTML.

function apply(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
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

/** An svg of the given size in px that shrinks with its container (print, narrow windows). */
export function svg(width, height, label, ...children) {
  return s(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-label': label },
    s('title', {}, label),
    ...children,
  );
}

/** A section with a heading that the table of contents can point at. */
export function section(id, title, ...children) {
  return h('section', { id, 'aria-labelledby': `${id}-title` }, h('h2', { id: `${id}-title` }, title), ...children);
}

/** Name and value pairs; pairs whose value is null are left out. */
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

/** Draws into `host` at its width, again whenever the width changes. */
export function responsive(host, draw) {
  let width = 0;
  const redraw = () => {
    const now = Math.max(240, Math.floor(host.clientWidth));
    if (now === width) return;
    width = now;
    host.replaceChildren(draw(width));
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
