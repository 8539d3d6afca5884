// SPDX-License-Identifier: Apache-2.0
// Okabe and Ito's palette (jfly.uni-koeln.de/color), which colour-blind readers can tell apart.
// The colours are custom properties, so that dark mode and print redefine them in one place.

export const KIND_COLOR = {
  pack: 'var(--sky)',
  exchange: 'var(--orange)',
  unpack: 'var(--purple)',
  attention: 'var(--blue)',
  hop: 'var(--vermillion)',
  merge: 'var(--green)',
};

const PALETTE = ['blue', 'orange', 'green', 'vermillion', 'sky', 'purple', 'yellow'];
const INK = { blue: '#fff', orange: '#000', green: '#fff', vermillion: '#fff', sky: '#000', purple: '#000', yellow: '#000' };

/** Fill and text colour of the strategy with this rank (0 = most cells). Ranks beyond the palette are grey. */
export function strategyColor(place) {
  const name = PALETTE[place];
  return name ? { fill: `var(--${name})`, ink: INK[name] } : { fill: 'var(--other)', ink: '#000' };
}

/** Resolves a custom property to its colour, for canvas. */
export function resolved(color) {
  const name = /^var\((--[a-z]+)\)$/.exec(color);
  if (!name) return color;
  return getComputedStyle(document.documentElement).getPropertyValue(name[1]).trim();
}
