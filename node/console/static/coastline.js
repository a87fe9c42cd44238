// The land outline: decoding land.bin (layout: data/coastline/convert.py) and clipping it to a box.

const VERSION = 1;

/** Rings of the file: [{box: [west, south, east, north], points: Float32Array of lon, lat, …}]. */
export function decodeLand(buffer) {
  const bytes = new Uint8Array(buffer);
  if (String.fromCharCode(...bytes.subarray(0, 4)) !== "ZLND" || bytes[4] !== VERSION) {
    throw new Error("land.bin is of a version that this page does not know; reload the page");
  }
  const units = (bytes[5] << 8) | bytes[6];
  let at = 7;
  const varint = () => {
    let value = 0, shift = 0, byte;
    do {
      byte = bytes[at++];
      value |= (byte & 0x7f) << shift;
      shift += 7;
    } while (byte & 0x80);
    return value;
  };
  const step = () => {
    const value = varint();
    return (value >>> 1) ^ -(value & 1);
  };
  const rings = [];
  while (at < bytes.length) {
    const points = new Float32Array(varint() * 2);
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    let x = 0, y = 0;
    for (let index = 0; index < points.length; index += 2) {
      x += step();
      y += step();
      const lon = x / units, lat = y / units;
      points[index] = lon;
      points[index + 1] = lat;
      if (lon < box[0]) box[0] = lon;
      if (lat < box[1]) box[1] = lat;
      if (lon > box[2]) box[2] = lon;
      if (lat > box[3]) box[3] = lat;
    }
    rings.push({ box, points });
  }
  return rings;
}

/**
 * The rings inside a box, cut at its edges (Sutherland-Hodgman), as arrays lon, lat, lon, lat, …
 *
 * Where land leaves the box the ring runs along the edge, so the box must be larger than what is
 * shown. Cutting first keeps a street-level view from drawing a whole continent.
 */
export function clipLand(rings, box) {
  const [west, south, east, north] = box;
  const clipped = [];
  for (const ring of rings) {
    const [ringWest, ringSouth, ringEast, ringNorth] = ring.box;
    if (ringEast < west || ringWest > east || ringNorth < south || ringSouth > north) continue;
    let points = ring.points;
    if (ringWest < west) points = cut(points, 0, west, 1);
    if (ringEast > east) points = cut(points, 0, east, -1);
    if (ringSouth < south) points = cut(points, 1, south, 1);
    if (ringNorth > north) points = cut(points, 1, north, -1);
    if (points.length >= 6) clipped.push(points);
  }
  return clipped;
}

/** Keep the side of a line where sign × (coordinate − edge) ≥ 0; axis 0 is longitude. */
function cut(points, axis, edge, sign) {
  const kept = [];
  const length = points.length;
  let lastX = points[length - 2], lastY = points[length - 1];
  let lastInside = sign * ((axis ? lastY : lastX) - edge) >= 0;
  for (let index = 0; index < length; index += 2) {
    const x = points[index], y = points[index + 1];
    const inside = sign * ((axis ? y : x) - edge) >= 0;
    if (inside !== lastInside) {
      const share = axis ? (edge - lastY) / (y - lastY) : (edge - lastX) / (x - lastX);
      kept.push(lastX + share * (x - lastX), lastY + share * (y - lastY));
    }
    if (inside) kept.push(x, y);
    lastX = x;
    lastY = y;
    lastInside = inside;
  }
  return kept;
}
