// SPDX-License-Identifier: Apache-2.0
// Colours as custom properties of style.css, so that dark mode and print redefine them in one place.
// They are Okabe and Ito's (jfly.uni-koeln.de/color), darkened where they had less than 3:1 on white.
// A kind of segment, waiting, exposed and contention have one colour each everywhere.

export const KIND_COLOR = {
  pack: 'var(--part-pack)',
  exchange: 'var(--part-exchange)',
  unpack: 'var(--part-unpack)',
  attention: 'var(--part-attention)',
  hop: 'var(--part-hop)',
  merge: 'var(--part-merge)',
};

const PALETTE = 8;

/** Colour of a name by its place (0 = most cells). Places beyond the palette are grey. */
export const placeColor = (place) => (place < PALETTE ? `var(--set-${place})` : 'var(--other)');

/** Resolves a custom property to its colour, for canvas. */
export function resolved(color) {
  const name = /^var\((--[a-z0-9-]+)\)$/.exec(color);
  if (!name) return color;
  return getComputedStyle(document.documentElement).getPropertyValue(name[1]).trim();
}

/** Calls `use` when the colours change: dark mode, forced colours, print. */
export function onColors(use) {
  for (const query of ['(prefers-color-scheme: dark)', '(forced-colors: active)', 'print']) {
    globalThis.matchMedia(query).addEventListener('change', use);
  }
}

// Viridis (S. van der Walt and N. Smith, 2015), 9 stops of equal distance: ordered in lightness.
const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];
// Blue, light grey, orange: below, at and above 0.
const SIGNED = [[0, 90, 160], [110, 165, 210], [220, 220, 220], [215, 150, 80], [175, 80, 0]];

function ramp(stops, t) {
  const at = Math.min(1, Math.max(0, t)) * (stops.length - 1);
  const low = Math.min(stops.length - 2, Math.floor(at));
  const mix = stops[low].map((a, i) => Math.round(a + (stops[low + 1][i] - a) * (at - low)));
  return `rgb(${mix.join(',')})`;
}

/** Colour of t in [0, 1]. */
export const sequential = (t) => ramp(VIRIDIS, t);
/** Colour of t in [-1, 1]. */
export const diverging = (t) => ramp(SIGNED, (t + 1) / 2);
