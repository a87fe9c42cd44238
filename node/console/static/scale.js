// Values to colours: numbers along one scale, everything else by category.

const STOPS = [[68, 1, 84], [65, 68, 135], [42, 120, 142], [34, 168, 132], [122, 209, 81], [253, 231, 37]];
const CATEGORIES = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8a6fdf", "#7a8b00"];
const NODE_COLOURS = ["#0072b2", "#d55e00", "#009e73", "#b5518f", "#b07d00", "#3a8fc4", "#7a5fd0", "#6b7a00"];
const NO_VALUE = "#8a8f96";

/** Colour of a node by its place among the sorted names. */
export function nodeColour(index) {
  if (index < NODE_COLOURS.length) return NODE_COLOURS[index];
  return `hsl(${Math.round((index * 137.508) % 360)} 60% 42%)`;
}

/** A scale for some values: {kind, colour(value), low, high, categories}. */
export function makeScale(values) {
  const present = values.filter((value) => value !== null && value !== undefined);
  const numbers = present.filter((value) => typeof value === "number");
  if (present.length && numbers.length === present.length) {
    let low = Infinity, high = -Infinity;
    for (const number of numbers) {
      if (number < low) low = number;
      if (number > high) high = number;
    }
    const width = high - low || 1;
    const colour = (value) => typeof value === "number" ? ramp((value - low) / width) : NO_VALUE;
    return { kind: "number", low, high, colour };
  }
  const counts = new Map();
  for (const value of present) counts.set(textOf(value), (counts.get(textOf(value)) || 0) + 1);
  const ordered = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || (a < b ? -1 : 1));
  const categories = ordered.slice(0, CATEGORIES.length);
  const colour = (value) => {
    const index = value === null || value === undefined ? -1 : categories.indexOf(textOf(value));
    return index < 0 ? NO_VALUE : CATEGORIES[index];
  };
  return { kind: "category", categories, colour, more: ordered.length - categories.length };
}

/** Colour at a share 0 … 1 of the scale (viridis: readable without colour vision). */
export function ramp(share) {
  const place = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1);
  const index = Math.min(Math.floor(place), STOPS.length - 2);
  const rest = place - index;
  const channel = (at) => Math.round(STOPS[index][at] + rest * (STOPS[index + 1][at] - STOPS[index][at]));
  return `rgb(${channel(0)},${channel(1)},${channel(2)})`;
}

/** A value as short text. */
export function textOf(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") {
    return value.toLocaleString("en", { maximumFractionDigits: Math.abs(value) >= 1000 ? 0 : 2 });
  }
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

/** Whole numbers with separators. */
export const countText = (count) => Number(count || 0).toLocaleString("en");

/** "2025-03-01 05:00 UTC" of an RFC 3339 time. */
export function timeText(time) {
  return time ? `${time.slice(0, 10)} ${time.slice(11, 16)} UTC` : "";
}
