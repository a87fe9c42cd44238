// Cells of a shape to the lines around it: edges between two cells of the same shape vanish.

/**
 * Line segments [lon, lat, lon, lat] around a MultiPolygon of axis-aligned rectangles.
 *
 * Every rectangle adds +1 along one side and −1 along the other; where neighbours meet, the sum is
 * 0, also when they are of different sizes.
 */
export function outlineOf(shape) {
  const upright = new Map();
  const level = new Map();
  for (const [ring] of shape.coordinates) {
    const [west, south, east, north] = boxOf(ring);
    addEdge(upright, west, south, north, 1);
    addEdge(upright, east, south, north, -1);
    addEdge(level, south, west, east, 1);
    addEdge(level, north, west, east, -1);
  }
  const segments = [];
  for (const [lon, changes] of upright) {
    for (const [from, to] of nonZeroRuns(changes)) segments.push([lon, from, lon, to]);
  }
  for (const [lat, changes] of level) {
    for (const [from, to] of nonZeroRuns(changes)) segments.push([from, lat, to, lat]);
  }
  return segments;
}

/** West, south, east, north of a ring. */
export function boxOf(ring) {
  const lons = ring.map((point) => point[0]);
  const lats = ring.map((point) => point[1]);
  return [Math.min(...lons), Math.min(...lats), Math.max(...lons), Math.max(...lats)];
}

/** The box of the largest rectangle of a shape: where its name is written. Null when empty. */
export function largestBox(shape) {
  let best = null, bestSize = 0;
  for (const [ring] of shape.coordinates) {
    const box = boxOf(ring);
    const size = (box[2] - box[0]) * (box[3] - box[1]);
    if (size > bestSize) [best, bestSize] = [box, size];
  }
  return best;
}

function addEdge(lines, at, from, to, sign) {
  if (!lines.has(at)) lines.set(at, new Map());
  const changes = lines.get(at);
  changes.set(from, (changes.get(from) || 0) + sign);
  changes.set(to, (changes.get(to) || 0) - sign);
}

function nonZeroRuns(changes) {
  const runs = [];
  let sum = 0, from = null;
  for (const at of [...changes.keys()].sort((a, b) => a - b)) {
    const before = sum;
    sum += changes.get(at);
    if (before === 0 && sum !== 0) from = at;
    if (before !== 0 && sum === 0) runs.push([from, at]);
  }
  return runs;
}
