// SPDX-License-Identifier: Apache-2.0
// Which rank computes each head and row, and masks as numbers. Pure: no access to the document.

/** Per head under the plan: {ranks, rowOwner}. rowOwner[row] is a rank, null for a whole head. */
export function ownersOf(masks) {
  const owners = Array.from({ length: masks.heads }, () => ({ ranks: [], rowOwner: null }));
  for (const group of masks.groups) {
    let rowOwner = null;
    if (group.ranks.length > 1) {
      rowOwner = new Int32Array(masks.q_blocks);
      let row = 0;
      for (let i = 0; i + 1 < group.row_runs.length; i += 2) {
        rowOwner.fill(group.ranks[group.row_runs[i]], row, row + group.row_runs[i + 1]);
        row += group.row_runs[i + 1];
      }
    }
    for (const head of group.heads) owners[head] = { ranks: group.ranks, rowOwner };
  }
  return owners;
}

/** The same under plain ulysses on `ranks` ranks: contiguous ranges of ceil(heads / ranks). */
export function plainOwnersOf(heads, ranks) {
  const share = Math.ceil(heads / ranks);
  return Array.from({ length: heads }, (_, head) => ({ ranks: [Math.floor(head / share)], rowOwner: null }));
}

const bytesPerRow = (columns) => Math.ceil(columns / 8);

/** Bytes of one head of the packed masks. */
export function headBits(bits, masks, head) {
  const size = masks.q_blocks * bytesPerRow(masks.k_blocks);
  return bits.subarray(head * size, (head + 1) * size);
}

/** Active blocks of every row. */
export function rowCounts(bits, rows, columns) {
  const width = bytesPerRow(columns);
  return Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let b = row * width; b < (row + 1) * width; ++b) for (let v = bits[b]; v; v &= v - 1) ++sum;
    return sum;
  });
}

/** A mask reduced to size x size: the share of active blocks of each part, 0 to 1, row by row. */
export function thumbnail(bits, rows, columns, size) {
  const width = bytesPerRow(columns);
  const sums = new Float64Array(size * size);
  const cells = new Float64Array(size * size);
  const across = Array.from({ length: columns }, (_, j) => Math.min(size - 1, Math.floor((j * size) / columns)));
  const perColumn = new Float64Array(size);
  for (const at of across) ++perColumn[at];
  for (let i = 0; i < rows; ++i) {
    const y = Math.min(size - 1, Math.floor((i * size) / rows)) * size;
    for (let x = 0; x < size; ++x) cells[y + x] += perColumn[x];
    for (let b = 0; b < width; ++b) {
      const byte = bits[i * width + b];
      if (byte === 0) continue;
      for (let bit = 0; bit < 8; ++bit) if ((byte >> bit) & 1) ++sums[y + across[b * 8 + bit]];
    }
  }
  return sums.map((sum, i) => (cells[i] > 0 ? sum / cells[i] : 0));
}

/** Active blocks per rank of one head's rows, given its owners. */
export function blocksPerRank(bits, masks, owner, ranks) {
  const sums = Array.from({ length: ranks }, () => 0);
  const counts = rowCounts(bits, masks.q_blocks, masks.k_blocks);
  counts.forEach((count, row) => { sums[owner.rowOwner ? owner.rowOwner[row] : owner.ranks[0]] += count; });
  return sums;
}
