// SPDX-License-Identifier: Apache-2.0
// A report made by the real binary, in a real browser: verdict, inputs, faults, layout.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { gzipSync } from 'node:zlib';
import { assertShows, at, card, columnTexts, DATA, data, out, plan, report, variant, withPage } from './harness.mjs';

const SECTIONS = ['verdict', 'matrix', 'timeline', 'masks', 'trust', 'search', 'kernels', 'compare', 'measurements', 'provenance'];

test('the verdict shows the numbers of the data', async () => {
  await withPage({}, async (page) => {
    assert.equal(await page.evaluate(() => document.body.dataset.ready), 'ok');
    assertShows(await card(page, 'time'), plan.verdict.predicted_ms * 1e6, 'predicted');
    assertShows(await card(page, 'replayed'), plan.verdict.replay.replayed_ms * 1e6, 'replayed');
    for (const family of ['ulysses', 'ring']) {
      const baseline = plan.verdict.baselines.find((b) => b.family === family);
      assertShows(await card(page, `gain-${family}`), baseline.gain, `gain over ${family}`);
    }
    assert.equal(await card(page, 'verification'), 'Passed');
    assert.match(await page.locator('[data-card="verification"]').innerText(), /log-sum-exp within 3\.5/);
    assert.equal(await card(page, 'chosen'), 'dbsp U2xR2');
    const notices = await page.locator('#verdict .notices').innerText();
    assert.match(notices, /4 ranks on 2 cores/);
    assert.match(notices, /1 wrong/);
  });
});

test('every section is there and none of the data became markup', async () => {
  await withPage({}, async (page) => {
    for (const id of SECTIONS) {
      assert.equal(await page.locator(`section#${id}`).count(), 1, id);
    }
    assert.equal(await page.locator('h1').innerText(), 'dbsp report: small <video> & "model" on 4 ranks');
    assert.equal(await page.locator('video').count(), 0);
    assert.match(await page.locator('#measurements tr.bad').first().innerText(), /<\/script><!-- not markup/);
  });
});

test('the content policy runs the page and nothing else', async () => {
  // Each vector runs its code without a policy; the console names what was refused.
  await withPage({ faulty: true }, async (page) => {
    const policy = await page.locator('meta[http-equiv]').getAttribute('content');
    assert.doesNotMatch(policy, /unsafe/);
    await page.evaluate(() => {
      const script = document.createElement('script');
      script.textContent = 'window.injected = 1';
      document.body.append(script);
      const image = document.createElement('div');
      image.innerHTML = '<img src="data:," onerror="window.injected = 2"><p style="color: red">text</p>';
      document.body.append(image);
    });
    await page.waitForTimeout(100);
    assert.equal(await page.evaluate(() => window.injected), undefined);
    assert.notEqual(await page.locator('p[style]').evaluate((node) => getComputedStyle(node).color), 'rgb(255, 0, 0)');
  });
});

test('tables sort both ways, missing values last', async () => {
  await withPage({}, async (page) => {
    const table = '[data-trials="attention"]';
    const header = page.locator(`${table} th`, { hasText: 'Median' });
    const column = 1 + (await page.locator(`${table} thead th`).allInnerTexts()).findIndex((text) => text.startsWith('Median'));
    await header.locator('button').click();
    assert.equal(await header.getAttribute('aria-sort'), 'ascending');
    const up = await columnTexts(page, table, column);
    const trials = data.trials.filter((trial) => trial.kind === 'attention');
    const known = trials.map((trial) => trial.median_ns).filter((value) => value !== null).sort((a, b) => a - b);
    known.forEach((value, i) => assertShows(up[i], value, `row ${i}`));
    assert.equal(up[up.length - 1], '–');
    await header.locator('button').press('Enter');
    assert.equal(await header.getAttribute('aria-sort'), 'descending');
    const down = await columnTexts(page, table, column);
    known.reverse().forEach((value, i) => assertShows(down[i], value, `row ${i}`));
    assert.equal(down[down.length - 1], '–');
  });
});

test('the ledger shows signed differences, mean per rank', async () => {
  await withPage({}, async (page) => {
    const [replay] = plan.replays;
    const rows = page.locator(`[data-ledger="${replay.id}"] tbody tr`);
    for (const [i, entry] of replay.ledger.entries()) {
      const cells = await rows.nth(i).locator('th, td').allInnerTexts();
      assert.equal(cells[0], entry.kind);
      assertShows(cells[3], entry.difference_ns / replay.ranks, entry.kind);
      assert.ok(cells[3].startsWith('+'), 'slower than predicted');
    }
  });
});

test('the other plan can be chosen', async () => {
  await withPage({}, async (page) => {
    await page.locator('#plan-choice select').selectOption('1');
    assertShows(await card(page, 'time'), data.plans[1].verdict.predicted_ms * 1e6, 'second plan');
    assert.equal(await card(page, 'chosen'), 'ulysses U4');
  });
});

test('the keyboard reaches every control in reading order', async () => {
  await withPage({}, async (page) => {
    const seen = [];
    for (let i = 0; i < 400; ++i) {
      await page.keyboard.press('Tab');
      const place = await page.evaluate(() => {
        const node = document.activeElement;
        if (!node || node === document.body) return null;
        const all = [...document.querySelectorAll('*')];
        return { order: all.indexOf(node), visible: node.getBoundingClientRect().width > 0 };
      });
      if (!place || (seen.length && place.order === seen[0].order)) break;
      seen.push(place);
    }
    const controls = await page.evaluate(() => [...document.querySelectorAll('a[href], button:not([disabled]), select, input, summary, [tabindex="0"]')].filter((node) => node.offsetParent !== null || node.closest('svg') || node.className === 'skip').filter((node) => !node.closest('details:not([open]) > :not(summary)')).length);
    assert.ok(seen.every((place) => place.visible), 'focus is always on something visible');
    assert.ok(seen.every((place, i) => i === 0 || place.order > seen[i - 1].order), 'tab order is reading order');
    assert.equal(seen.length, controls);
  });
});

for (const [scheme, width] of [['light', 1280], ['dark', 1280], ['light', 800], ['dark', 800], ['light', 360], ['dark', 360]]) {
  test(`${scheme} at ${width} px: no sideways scrolling, nothing overlaps`, async () => {
    await withPage({ scheme, width }, async (page) => {
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width);
      const overlaps = await page.evaluate(() => {
        const boxes = [...document.querySelectorAll('.card, figure, .table, section h2, .notices li, .words, .chip')].filter((node) => !node.closest('details:not([open])')).map((node) => ({ name: node.className || node.tagName, node, box: node.getBoundingClientRect() }));
        const found = [];
        for (const [i, a] of boxes.entries()) {
          for (const b of boxes.slice(i + 1)) {
            if (a.node.contains(b.node) || b.node.contains(a.node)) continue;
            const x = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
            const y = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
            if (x > 1 && y > 1) found.push(`${a.name} / ${b.name}`);
          }
        }
        return found;
      });
      assert.deepEqual(overlaps, []);
      const [ink, paper] = await page.evaluate(() => {
        const style = getComputedStyle(document.body);
        return [style.color, style.backgroundColor].map((color) => color.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0));
      });
      assert.ok(scheme === 'dark' ? ink > paper + 400 : paper > ink + 400, 'text stands out of its ground');
      await page.screenshot({ path: path.join(out, `${scheme}-${width}.png`), fullPage: true });
    });
  });
}

test('printed, it is light, without controls', async () => {
  await withPage({ scheme: 'dark', media: 'print' }, async (page) => {
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(255, 255, 255)');
    assert.equal(await page.locator('nav').isVisible(), false);
    await page.pdf({ path: path.join(out, 'print.pdf') });
  });
});

test('a failed overlap trial is a row, and the other sections are drawn', async () => {
  await withPage({}, async (page) => {
    const row = page.locator('[data-trials="overlap"] tbody tr.bad');
    assert.match(await row.innerText(), /failed: relative error 0\.5/);
    assert.equal(await page.locator('.failure').count(), 0);
  });
});


test('packed data draws the same page', async () => {
  const html = readFileSync(at('report.html'), 'utf8');
  assert.match(html, DATA);
  const packed = html.replace(DATA, (_, open, json) => `${open}gzip+base64">${gzipSync(json).toString('base64')}</script>`);
  writeFileSync(at('packed.html'), packed);
  await withPage({ file: at('packed.html') }, async (page) => {
    assertShows(await card(page, 'time'), plan.verdict.predicted_ms * 1e6, 'predicted');
  });
});

test('damaged data is said in words', async () => {
  const html = readFileSync(at('report.html'), 'utf8');
  writeFileSync(at('damaged.html'), html.replace(DATA, (_, open, json) => `${open}json">${json.slice(0, 100)}</script>`));
  await withPage({ file: at('damaged.html'), faulty: true }, async (page) => {
    assert.equal(await page.evaluate(() => document.body.dataset.ready), 'failed');
    assert.match(await page.locator('#content').innerText(), /This page cannot be shown/);
  });
});

test('a section that fails shows the reason, and the others show their data', async () => {
  const html = readFileSync(at('report.html'), 'utf8');
  const broken = [
    ['search', (d) => { d.compare[0].candidates = 7; }], ['matrix', (d) => { d.plans[0].cells.strategy = null; }],
    ['trust', (d) => { d.plans[0].replays[0].ledger = null; }], ['matrix', (d) => { for (const cell of d.plans[0].shown) cell.load.charts = null; }],
    ['trust', (d) => { d.plans[0].tuning.fits = [null]; }], ['timeline', (d) => { for (const cell of d.plans[0].shown) cell.replayed = null; }], ['kernels', (d) => { d.trials[0].block = 3; }], ['compare', (d) => { d.plans[1].cells = null; }], ['measurements', (d) => { d.trials = [null]; }],
    ['provenance', (d) => { d.database.environments[0].argv = 3; }], ['verdict', (d) => { d.plans[0].verdict.baselines = null; }],
  ];
  for (const [id, damage] of broken) {
    const copy = structuredClone(data);
    damage(copy);
    writeFileSync(at('broken.html'), html.replace(DATA, (_, open) => `${open}json">${JSON.stringify(copy).replaceAll('<', '\\u003c')}</script>`));
    await withPage({ file: at('broken.html'), faulty: true }, async (page) => {
      assert.equal(await page.evaluate(() => document.body.dataset.ready), 'ok', id);
      // A fault of shared data may stop other sections that need them, too, but not the verdict.
      const failed = page.locator(`section#${id} .failure`);
      assert.ok((await failed.count()) > 0, id);
      assert.match(await failed.first().innerText(), /cannot be drawn/, id);
      assert.ok(id === 'verdict' || (await page.locator('#verdict .answer').count()) === 1, id);
      for (const other of SECTIONS) {
        assert.equal(await page.locator(`section#${other} h2`).count(), 1, `${id}: ${other}`);
      }
    });
  }
});

test('names of 10,000 characters neither widen nor lengthen the page', async () => {
  const long = (text) => text + 'x'.repeat(5000) + ' y'.repeat(2500);
  const file = variant('long.html', (d) => {
    for (const plan of d.plans) {
      for (const key of ['name', 'device', 'cluster', 'generator']) plan[key] = long(key);
      plan.workload.name = long('workload');
      plan.workload.rules = [long('rule')];
      for (const s of plan.strategies) Object.assign(s, { label: long(s.label), kernel: long('kernel'), layout: long('layout') });
      for (const cell of plan.shown) for (const chart of cell.load.charts ?? []) chart.name = long(chart.name);
      for (const replay of plan.replays) Object.assign(replay, { device: long('device'), exchange_source: long('source') });
      for (const b of plan.verdict.baselines) b.source = long('source');
      for (const n of plan.notices) n.text = long(n.text);
      plan.tuning.notes = [long('note')];
      plan.tuning.fits[0].name = long('fit');
      plan.tuning.close_calls.rival[0] = long('rival');
    }
    for (const c of d.compare) { c.name = long('compare'); c.costs = long('costs'); c.candidates[0].kernels = long('k'); c.candidates[0].verdict = long('v'); }
    for (const t of d.trials) Object.assign(t, { kernel: long('kernel'), detail: long('detail'), suite: long('suite') });
    d.database.name = long('db');
    for (const e of d.database.environments) Object.assign(e, { device_name: long('device'), host: long('host'), argv: [long('argv')], extra: { [long('fact')]: long('value') } });
  });
  for (const width of [1280, 360]) {
    let plain = 0;
    await withPage({ width }, async (page) => { plain = await page.evaluate(() => document.documentElement.scrollHeight); });
    await withPage({ width, file }, async (page) => {
      const [wide, high] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]);
      assert.ok(wide <= width, `${wide} px wide at ${width}`);
      assert.ok(high <= 1.35 * plain, `${high} px high, ${plain} with short names, at ${width}`);
      await page.screenshot({ path: path.join(out, `long-names-${width}.png`), fullPage: true });
    });
  }
});

test('a plan alone, a comparison alone: pages without a database', async () => {
  const alone = (...args) => execFileSync(report, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  alone('--plan', at('plan.json'), '-o', at('plan.html'));
  await withPage({ file: at('plan.html') }, async (page) => {
    assertShows(await card(page, 'time'), plan.verdict.predicted_ms * 1e6, 'predicted');
    assert.match(await page.locator('#measurements').innerText(), /No database was given/);
    assert.match(await page.locator('#provenance').innerText(), /No database was given/);
    assert.equal(await page.locator('.failure').count(), 0);
  });
  alone('--compare', at('compare.json'), '-o', at('compare.html'));
  await withPage({ file: at('compare.html') }, async (page) => {
    assert.equal(await page.locator('h1').innerText(), 'dbsp report: compare.json');
    assert.ok((await page.locator('#search tbody tr').count()) > 0);
  });
  assert.throws(() => alone('-o', at('none.html')), (error) => error.status === 2 && /give --db FILE, --plan FILE or --compare FILE/.test(error.stderr));
  assert.equal(existsSync(at('none.html')), false);
});

test('a replay on the devices of the plan is the headline, the prediction stands beside it', async () => {
  const file = variant('replayed.html', (d) => {
    const { verdict } = d.plans[0];
    verdict.headline = { source: 'replayed', ms: verdict.replay.replayed_ms, replay: verdict.replay.id };
    Object.assign(verdict.replay, { grade: 'replayed', whole: true });
  });
  await withPage({ file }, async (page) => {
    const time = page.locator('[data-card="time"]');
    assert.match(await time.innerText(), /Attention time, replayed/i);
    assertShows(await card(page, 'time'), plan.verdict.replay.replayed_ms * 1e6, 'replayed');
    assert.match(await time.locator('.detail').innerText(), /^Predicted /);
  });
});

test('times that were not measured have no error in the ledger', async () => {
  const file = variant('serial.html', (d) => {
    const [replay] = d.plans[0].replays;
    for (const row of replay.ledger.filter((r) => r.kind === 'exchange' || r.kind === 'hop')) Object.assign(row, { measured: false, difference_ns: null, relative_error: null });
  });
  await withPage({ file }, async (page) => {
    const row = page.locator('[data-ledger] tbody tr', { has: page.locator('th', { hasText: /^exchange$/ }) });
    assert.match(await row.innerText(), /not measured/);
    assert.doesNotMatch(await row.innerText(), /%/);
    assert.match(await page.locator('#trust').innerText(), /measured part/);
  });
});

test('the verdict is said in words: answer, what to run, why, what is left, how sure, what next', async () => {
  await withPage({}, async (page) => {
    const words = plan.verdict.sentences;
    assert.deepEqual(words.map((s) => s.topic), ['answer', 'run', 'why', 'left', 'sure', 'next']);
    assert.equal(await page.locator('.words .answer').innerText(), words[0].text);
    for (const { topic, text } of words.slice(1)) assert.equal(await page.locator(`[data-topic="${topic}"]`).innerText(), text);
  });
});

test('trust shows held-out errors, close calls and notes', async () => {
  await withPage({}, async (page) => {
    const text = await page.locator('#trust').innerText();
    assert.match(text, /cpu\.block_sparse[\s\S]*3%[\s\S]*10%/);
    assert.match(text, /Close calls: 1 cell of 6/);
    assert.match(text, /sizes outside the measured range were priced <b>/);
  });
});

test('a missing baseline is said with its reason', async () => {
  const file = variant('missing.html', (d) => {
    d.plans[0].verdict.baselines = [];
    d.plans[0].verdict.missing_baselines = [{ family: 'ulysses', reason: 'no all-to-all was measured' }, { family: 'ring', reason: 'other costs' }];
  });
  await withPage({ file }, async (page) => {
    assert.equal(await card(page, 'gain-ulysses'), '–');
    assert.match(await page.locator('[data-card="gain-ulysses"]').innerText(), /no comparable baseline: no all-to-all was measured/);
  });
});

test('a database without plans is a page too', async () => {
  const text = readFileSync(at('report.html'), 'utf8');
  const empty = { ...data, plans: [], compare: [], trials: [], trials_total: 0, database: { ...data.database, environments: [], environments_total: 0, outcomes: {} } };
  writeFileSync(at('empty.html'), text.replace(DATA, (_, open) => `${open}json">${JSON.stringify(empty).replaceAll('<', '\\u003c')}</script>`));
  await withPage({ file: at('empty.html') }, async (page) => {
    assert.match(await page.locator('#verdict').innerText(), /nothing to judge/);
    assert.match(await page.locator('#measurements').innerText(), /no trial yet/);
  });
});

test('very large charts are drawn on canvas', async () => {
  const big = structuredClone(data);
  const cells = big.plans[0].cells;
  for (const key of Object.keys(cells)) cells[key] = [];
  for (let step = 0; step < 60; ++step) {
    for (let layer = 0; layer < 100; ++layer) {
      cells.step.push(step);
      cells.layer.push(layer);
      cells.strategy.push(layer % 2);
      cells.prediction.push(0);
      cells.replayed_ns.push(null);
    }
  }
  const segments = big.plans[0].shown[0].predicted;
  for (const key of Object.keys(segments)) segments[key] = Array.from({ length: 6000 }, (_, i) => segments[key][i % segments[key].length]);
  const html = readFileSync(at('report.html'), 'utf8');
  writeFileSync(at('big.html'), html.replace(DATA, (_, open) => `${open}json">${JSON.stringify(big).replaceAll('<', '\\u003c')}</script>`));
  await withPage({ file: at('big.html') }, async (page) => {
    for (const id of ['matrix', 'timeline']) {
      const painted = await page.locator(`#${id} canvas`).first().evaluate((canvas) => {
        const { data: pixels } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        let filled = 0;
        for (let i = 3; i < pixels.length; i += 4) filled += pixels[i] > 0 ? 1 : 0;
        return filled / (pixels.length / 4);
      });
      assert.ok(painted > 0.1, `${id}: ${painted} of the canvas is painted`);
    }
  });
});
