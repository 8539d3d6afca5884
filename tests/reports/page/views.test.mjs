// SPDX-License-Identifier: Apache-2.0
// Every view of the page in a real browser: what it draws, its keys, its table, its address.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { createRequire } from 'node:module';
import { assertShows, at, data, modules, out, plan, report, variant, withPage, writeFixture } from './harness.mjs';

const axe = readFileSync(createRequire(path.join(modules, 'package.json')).resolve('axe-core/axe.min.js'), 'utf8');
const hash = (page) => page.evaluate(() => location.hash);
const spanOf = (columns) => Math.max(...columns.start_ns.map((start, k) => start + columns.duration_ns[k]));

/** Share of the pixels of a canvas that are painted. */
const painted = (canvas) => canvas.evaluate((node) => {
  const { data: pixels } = node.getContext('2d').getImageData(0, 0, node.width, node.height);
  let filled = 0;
  for (let i = 3; i < pixels.length; i += 4) filled += pixels[i] > 0 ? 1 : 0;
  return filled / (pixels.length / 4);
});

test('one selection drives the views, is in the address and goes up by Escape', async () => {
  await withPage({ fragment: '#timeline&step=1&layer=2&from=100&to=5000' }, async (page) => {
    assert.match(await page.locator('#matrix .detail-panel h3').innerText(), /^Step 1, layer 2: dbsp U2xR2/);
    assert.match(await page.locator('#timeline figcaption').innerText(), /^Step 1, layer 2/);
    const gantt = page.locator('#timeline .gantt');
    assert.equal(await gantt.getAttribute('data-from'), '100');
    assert.equal(await gantt.getAttribute('data-to'), '5000');
    await page.keyboard.press('Escape');
    assert.equal(await hash(page), '#timeline&step=1&layer=2');
    assert.equal(await gantt.getAttribute('data-from'), '0');
    await page.locator('#timeline select').last().selectOption('1');
    assert.equal(await hash(page), '#timeline&step=1&layer=2&rank=1');
    await page.locator('h2').first().focus();
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    assert.equal(await hash(page), '#timeline');
  });
});

test('a fragment that names nothing is no fault', async () => {
  await withPage({ fragment: '#nothing&plan=99&step=7777&layer=1&from=9&to=2&rank=1e9&<b>=1' }, async (page) => {
    assert.equal(await page.locator('.failure').count(), 0);
    assert.equal(await page.evaluate(() => document.body.dataset.ready), 'ok');
  });
});

test('the header stays, names the plan, and marks the section that is read', async () => {
  await withPage({}, async (page) => {
    const chips = await page.locator('.chip').allInnerTexts();
    assert.ok(chips.includes('measured costs'), chips.join(' | '));
    assert.ok(chips.some((chip) => /^verified \d+ of 6 cells$/.test(chip)), chips.join(' | '));
    assert.match(await page.locator('#subtitle').innerText(), /^4 × Test CPU, 2 steps × 3 layers, 2 guidance passes/);
    assert.equal(await page.locator('nav a[aria-current]').innerText(), 'Verdict');
    await page.locator('nav a', { hasText: 'Kernels and links' }).click();
    await page.waitForFunction(() => document.querySelector('nav a[aria-current]')?.textContent === 'Kernels and links');
    assert.match(await hash(page), /^#kernels/);
    assert.ok((await page.locator('#top').boundingBox()).y >= 0, 'in sight after scrolling');
  });
});

test('the ladder shows where the time goes, with whiskers, bound and diamond', async () => {
  await withPage({}, async (page) => {
    const { ladder } = plan.verdict;
    assert.equal(ladder[ladder.length - 1].kind, 'plan');
    for (const rung of ladder) {
      const sum = rung.balanced_ms + (rung.waiting_ms ?? 0) + rung.exposed_ms + (rung.contention_ms ?? 0);
      assert.ok(Math.abs(sum - rung.total_ms) < 1e-6 * rung.total_ms, `${rung.label}: parts add up`);
    }
    const figure = page.locator('[data-ladder]');
    const bars = await figure.locator('g[data-mark="bar"] rect').count();
    const pieces = ladder.flatMap((r) => [r.balanced_ms, r.waiting_ms, r.exposed_ms, r.contention_ms].filter((v) => v > 0)).length;
    assert.equal(bars, pieces);
    assert.equal(await figure.locator('.whisker line').count(), ladder.length);
    assert.equal(await figure.locator('.bound line').count(), 1);
    assert.equal(await figure.locator('.replayed path').count(), ladder.filter((r) => r.replayed_ms !== null).length);
    await page.locator('.ladder summary').focus();
    await page.keyboard.press('Enter');
    const first = page.locator('.ladder tbody tr').first();
    await first.waitFor();
    assertShows(await first.locator('td').first().innerText(), ladder[ladder.length - 1].total_ms * 1e6, 'time of the plan');
  });
});

test('the matrix has steps across and layers down, colour modes and a cell panel', async () => {
  await withPage({}, async (page) => {
    const map = page.locator('#matrix .matrix');
    assert.ok((await painted(map.locator('canvas'))) > 0.1);
    const names = await page.locator('#matrix .map select option').allInnerTexts();
    for (const name of ['Gain over plain ulysses', 'Time above the lower bound', 'Imbalance ρ', 'Strategy', 'Close call', 'Replay error']) assert.ok(names.includes(name), name);
    await page.locator('#matrix .map select').selectOption('close');
    assert.match(await page.locator('#matrix .map .legend').innerText(), /close call \(1 cell\)/);
    const panel = page.locator('#matrix .detail-panel h3');
    const start = /^Step (\d), layer (\d)/.exec(await panel.innerText()).slice(1).map(Number);
    await map.focus();
    for (let i = 0; i < 3; ++i) await page.keyboard.press('ArrowLeft');
    for (let i = 0; i < 3; ++i) await page.keyboard.press('ArrowUp');
    assert.match(await panel.innerText(), /^Step 0, layer 0: ulysses U4/, `from ${start}`);
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowDown');
    assert.match(await panel.innerText(), /^Step 1, layer 1: dbsp U2xR2/);
    assert.match(await hash(page), /step=1&layer=1/);
    await page.locator('#matrix summary', { hasText: 'Table of 6 cells' }).click();
    await page.waitForFunction(() => document.querySelectorAll('#matrix .map-and-cell details[open] tbody tr').length === 6);
  });
});

test('loads before and after carry the active blocks of the data', async () => {
  await withPage({ fragment: '#step=1&layer=1' }, async (page) => {
    const cell = plan.shown.find((c) => c.step === 1 && c.layer === 1);
    for (const chart of cell.load.charts) {
      const figure = page.locator(`[data-chart="${chart.name}"]`);
      assert.deepEqual(JSON.parse(await figure.getAttribute('data-blocks')), chart.blocks, chart.name);
      const below = await figure.locator('.bar rect').evaluateAll((nodes) => nodes.map((node) => Number(node.getAttribute('height'))));
      const above = await figure.locator('.bar-above rect').evaluateAll((nodes) => nodes.map((node) => Number(node.getAttribute('height'))));
      assert.equal(above.length, chart.blocks.filter((b) => b > cell.load.mean * 1.0005).length);
      const drawn = below.reduce((a, b) => a + b, 0) + above.reduce((a, b) => a + b, 0);
      const largest = Math.max(...below);
      const expected = chart.blocks.reduce((a, b) => a + b, 0) / Math.min(cell.load.mean, Math.max(...chart.blocks));
      assert.ok(Math.abs(drawn / largest - expected) < 0.02, `${chart.name}: heights follow blocks`);
    }
  });
});

test('the timeline draws predicted and replayed in pairs, zooms by keys and sums the range', async () => {
  await withPage({ fragment: '#step=1&layer=1' }, async (page) => {
    const cell = plan.shown.find((c) => c.step === 1 && c.layer === 1);
    const figure = page.locator('#timeline figure.timeline');
    const drawn = [cell.predicted, ...cell.replayed.map((r) => r.segments)];
    assert.equal(await figure.getAttribute('data-segments'), drawn.map((s) => s.rank.length).join(' '));
    assert.equal(await figure.getAttribute('data-span'), drawn.map(spanOf).join(' '));
    const gantt = page.locator('#timeline .gantt');
    assert.ok((await painted(gantt.locator('canvas'))) > 0.1);
    const whole = Number(await gantt.getAttribute('data-to'));
    await gantt.focus();
    await page.keyboard.press('+');
    const zoomed = [Number(await gantt.getAttribute('data-from')), Number(await gantt.getAttribute('data-to'))];
    assert.ok(Math.abs(zoomed[1] - zoomed[0] - whole / 2) <= 2, 'half of the time is shown');
    await page.keyboard.press('ArrowLeft');
    assert.ok(Number(await gantt.getAttribute('data-from')) < zoomed[0]);
    await page.keyboard.press('End');
    assert.equal(Number(await gantt.getAttribute('data-to')), whole);
    await page.keyboard.press('Home');
    assert.equal(Number(await gantt.getAttribute('data-from')), 0);
    await page.keyboard.press('0');
    assert.doesNotMatch(await hash(page), /from=/);
    await page.getByRole('checkbox', { name: 'critical path' }).check();
    await page.locator('#timeline details summary').click();
    await page.locator('#timeline details tbody tr').first().waitFor();
    const row = page.locator('#timeline details tbody tr').first();
    const attention = cell.predicted.duration_ns.filter((_, i) => cell.predicted.rank[i] === 0 && data.segment_kinds[cell.predicted.kind[i]] === 'attention').reduce((a, b) => a + b, 0);
    const column = (await page.locator('#timeline details thead th').allInnerTexts()).findIndex((text) => text.startsWith('attention'));
    assertShows(await row.locator('th, td').nth(column).innerText(), attention, 'attention of rank 0');
    assert.equal(await page.locator('.failure').count(), 0);
  });
});

test('masks: all heads densest first, framed by rank, one at full resolution, before and after', async () => {
  await withPage({}, async (page) => {
    const { masks } = plan;
    await page.locator('#masks').scrollIntoViewIfNeeded();
    const heads = page.locator('#masks .head');
    await heads.first().waitFor();
    assert.equal(await heads.count(), masks.heads);
    const order = [...masks.density.keys()].sort((a, b) => masks.density[b] - masks.density[a] || a - b);
    const names = await heads.evaluateAll((nodes) => nodes.map((node) => Number(/^Head (\d+)/.exec(node.getAttribute('aria-label'))[1])));
    assert.deepEqual(names, order);
    assert.match(await page.locator('#masks').innerText(), /Positions are made up/);
    const whole = page.locator('#masks .whole-mask');
    const share = () => painted(whole.locator('canvas'));
    assert.ok(Math.abs((await share()) - masks.density[order[0]]) < 0.08, 'as much is painted as is active');
    await heads.nth(1).focus();
    await page.keyboard.press('Enter');
    assert.match(await hash(page), new RegExp(`head=${order[1]}`));
    assert.match(await page.locator('#masks figcaption').innerText(), new RegExp(`^Head ${order[1]}:`));
    const split = masks.groups.filter((g) => g.ranks.length > 1).flatMap((g) => g.heads);
    const dashed = await heads.evaluateAll((nodes) => nodes.filter((node) => node.style.borderStyle === 'dashed').length);
    assert.equal(dashed, split.length);
    await page.locator('#masks select').selectOption('before');
    assert.equal(await heads.evaluateAll((nodes) => nodes.filter((node) => node.style.borderStyle === 'dashed').length), 0, 'plain ulysses splits no head');
    await whole.focus();
    await page.keyboard.press('+');
    assert.equal(await whole.getAttribute('data-zoom'), '2');
    await page.keyboard.press('0');
    assert.equal(await whole.getAttribute('data-zoom'), '1');
    await page.keyboard.press('Escape');
    assert.doesNotMatch(await hash(page), /head=/);
  });
});

test('masks that cannot be made are said in words', async () => {
  const file = variant('nomasks.html', (d) => { d.plans[0].masks = { missing: 'The masks cannot be made here: gone.npy' }; });
  await withPage({ file }, async (page) => assert.match(await page.locator('#masks').innerText(), /cannot be made here: gone\.npy/));
});

test('a plan of 2,000 distinct cells: the page keeps its size, and its packed parts are the data', async () => {
  execFileSync(writeFixture, ['--large', at('large.json')]);
  execFileSync(report, ['--plan', at('large.json'), '-o', at('large.html')], { stdio: 'pipe' });
  const large = JSON.parse(execFileSync(report, ['--plan', at('large.json'), '--json'], { encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'pipe'] })).plans[0];
  assert.equal(large.shown.length, 2000);
  assert.ok(statSync(at('large.html')).size <= 3000000, `${statSync(at('large.html')).size} bytes`);
  await withPage({ file: at('large.html') }, async (page) => {
    for (const cell of [large.shown[0], large.shown[50], large.shown[100]]) {
      await page.evaluate((text) => { location.hash = text; }, `#step=${cell.step}&layer=${cell.layer}`);
      await page.waitForFunction((text) => document.querySelector('#timeline figcaption')?.textContent.startsWith(text), `Step ${cell.step}, layer ${cell.layer} `);
      const figure = page.locator('#timeline figure.timeline');
      assert.equal(await figure.getAttribute('data-segments'), String(cell.predicted.rank.length));
      assert.equal(await figure.getAttribute('data-span'), String(spanOf(cell.predicted)));
    }
    await page.locator('#masks').scrollIntoViewIfNeeded();
    await page.locator('#masks .head').first().waitFor();
    assert.equal(await page.locator('#masks .head').count(), 8);
    const box = await page.locator('#matrix .matrix').boundingBox();
    assert.ok(box.height <= 560, `matrix ${box.height} px high`);
    assert.equal(await page.locator('.failure').count(), 0);
    await page.screenshot({ path: path.join(out, 'large.png') });
  });
});

test('trust shows residuals, the waterfall and how much cancels', async () => {
  await withPage({}, async (page) => {
    assert.ok((await page.locator('[data-residuals] circle, [data-residuals] path').count()) > 0);
    const [replay] = plan.replays;
    const steps = replay.ledger.filter((r) => r.measured && r.difference_ns !== null).length + 2;
    assert.equal(await page.locator(`[data-waterfall="${replay.id}"] g[data-mark="bar"] rect`).count(), steps);
    assert.match(await page.locator('#trust').innerText(), /0% of the differences cancel each other/);
  });
});

test('kernels and links: throughput and bandwidth of the trials', async () => {
  await withPage({}, async (page) => {
    const known = data.trials.filter((t) => t.kind === 'attention' && t.median_ns > 0).length;
    assert.equal(await page.locator('[data-throughput]').getAttribute('data-throughput'), String(known));
    const [trial] = data.trials.filter((t) => t.kind === 'attention' && t.median_ns > 0);
    await page.locator('#kernels details summary').first().click();
    await page.locator('#kernels details tbody tr').first().waitFor();
    const cells = await page.locator('#kernels details table tbody tr').first().locator('th, td').allInnerTexts();
    const unit = (await page.locator('#kernels details table thead th').nth(3).innerText()).startsWith('TFLOP/s') ? 1e3 : 1;
    assertShows(cells[3], (4 * trial.kept_blocks * 64 * 64 * trial.head_dim) / trial.median_ns / unit, 'throughput');
  });
});

test('the search has eight columns, more on request, filters, and one unit per column', async () => {
  await withPage({}, async (page) => {
    const [document] = data.compare.filter((c) => c.plans.includes(0));
    const search = page.locator('#search .table').first();
    assert.ok((await search.locator('thead th').count()) <= 8);
    assert.match(await page.locator('#search').innerText(), new RegExp(`${document.candidates.length} candidates? of`));
    await search.locator('.chooser summary').click();
    await search.locator('.choices label', { hasText: 'Interval' }).click();
    assert.ok((await search.locator('thead th').allInnerTexts()).some((text) => text.startsWith('Interval')));
    const times = await page.locator('[data-trials="attention"] tbody tr').evaluateAll((rows) => rows.map((row) => [...row.children].find((cell) => / (ns|µs|ms|s)$/.test(cell.textContent))?.textContent.split(' ')[1]).filter(Boolean));
    assert.equal(new Set(times).size, 1, `one unit: ${times}`);
  });
});

test('the command under a table names the database and the view', async () => {
  await withPage({}, async (page) => {
    assert.equal(await page.locator('[data-trials="exchange"] .sql code').innerText(), 'sqlite3 -header -column p.db "SELECT * FROM v_exchange"');
    assert.match(await page.locator('[data-ledger] .sql code').first().innerText(), /v_ledger WHERE replay_id = \d+"$/);
  });
});

test('a table is saved as CSV with base units, formulas made harmless', async () => {
  const file = variant('formula.html', (d) => { d.trials[0].suite = '=cmd()'; });
  await withPage({ file }, async (page) => {
    const [download] = await Promise.all([page.waitForEvent('download'), page.locator('[data-trials="attention"] .csv').click()]);
    const text = readFileSync(await download.path(), 'utf8');
    assert.match(text.split('\r\n')[0], /Median \(ns\)/);
    const [trial] = data.trials.filter((t) => t.kind === 'attention' && t.median_ns !== null);
    assert.ok(text.includes(`,${trial.median_ns},`), 'nanoseconds, unrounded');
    assert.ok(text.includes("'=cmd()"));
  });
});

test('plans are compared by the printed rule', async () => {
  await withPage({}, async (page) => {
    const text = await page.locator('#compare').innerText();
    assert.match(text, /SAME: less than 2% apart/);
    assert.match(text, /this plan/);
    assert.match(text, /FASTER|SLOWER|SAME\b|AMBIGUOUS/);
    assert.ok((await painted(page.locator('#compare .matrix canvas').first())) > 0.1);
  });
});

test('printed, tables have all rows and nothing is folded', async () => {
  const file = variant('rows.html', (d) => {
    const [trial] = d.trials.filter((t) => t.kind === 'attention');
    d.trials = Array.from({ length: 230 }, (_, i) => ({ ...trial, id: i + 1 }));
  });
  await withPage({ file }, async (page) => {
    const rows = page.locator('[data-trials="attention"] tbody tr');
    assert.equal(await rows.count(), 15);
    await page.emulateMedia({ media: 'print' });
    await page.waitForFunction(() => document.querySelectorAll('[data-trials="attention"] tbody tr').length === 200);
    assert.equal(await page.locator('details.twin:not([open])').count(), 0);
    await page.emulateMedia({ media: 'screen' });
    await page.waitForFunction(() => document.querySelectorAll('[data-trials="attention"] tbody tr').length === 15);
    assert.equal(await page.locator('details.twin[open]').count(), 0);
  });
});

for (const scheme of ['light', 'dark']) {
  for (const width of [360, 1280, 3840]) {
    test(`axe finds no violation, no ticks overlap: ${scheme} at ${width} px`, async () => {
      await withPage({ scheme, width }, async (page) => {
        await page.evaluate(axe);
        const violations = await page.evaluate(async () => (await globalThis.axe.run(document, { resultTypes: ['violations'] })).violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 140)).join(' | ')}`));
        assert.deepEqual(violations, []);
        const overlaps = await page.evaluate(() => {
          const found = [];
          for (const group of document.querySelectorAll('.chart [data-mark$="tick label"]')) {
            const boxes = [...group.querySelectorAll('text')].map((node) => ({ text: node.textContent, box: node.getBoundingClientRect() }));
            boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => {
              if (Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left) > 1 && Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top) > 1) found.push(`${a.text} / ${b.text} in ${group.closest('figure').querySelector('figcaption').textContent}`);
            }));
          }
          return found;
        });
        assert.deepEqual(overlaps, []);
        assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width);
      });
    });
  }
}

test('a screenshot of every view', async () => {
  await withPage({ width: 1440 }, async (page) => {
    for (const id of ['verdict', 'matrix', 'timeline', 'masks', 'trust', 'search', 'kernels', 'compare', 'measurements', 'provenance']) {
      await page.evaluate(() => { document.getElementById('top').hidden = true; });
      await page.locator(`section#${id}`).screenshot({ path: path.join(out, `${id}.png`) });
    }
  });
});
