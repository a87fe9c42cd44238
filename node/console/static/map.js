// Drawing: graticule, land, areas of nodes, dots. Everything is SVG, so that it can be read out.

import { clipLand } from "./coastline.js";
import { boxOf, largestBox, outlineOf } from "./outline.js";
import { textOf, timeText, countText } from "./scale.js";
import { degreeText, graticuleStep } from "./view.js";

const SVG = "http://www.w3.org/2000/svg";
const DOT_LABELS_MAX = 120;
const STALE_MS = 24 * 3_600_000;

/** A new SVG element with attributes and, where given, text. */
function make(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

export class MapDrawing {
  /** `svg` is emptied; `view` says what is shown; `onDot(feature | null, event)` is told of hovers. */
  constructor(svg, view, { onDot, onNode }) {
    this.svg = svg;
    this.view = view;
    this.onDot = onDot;
    this.onNode = onNode;
    this.land = [];
    this.layers = {};
    svg.replaceChildren(make("defs", {}));
    this.defs = svg.firstChild;
    for (const name of ["land", "graticule", "outside", "ticks", "areas", "states", "moves", "dots", "labels"]) {
      this.layers[name] = make("g", { class: name });
      svg.append(this.layers[name]);
    }
  }

  /** Everything anew, for what is shown now. */
  draw({ nodes, selected, coverage, tasks, features, value, scale, chosen }) {
    const { width, height } = this.view;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.drawLand();
    this.drawGraticule();
    this.drawDomain();
    const taken = this.drawAreas(nodes, selected);
    this.drawStates(coverage);
    this.drawMoves(nodes, tasks);
    this.drawDots(features, value, scale, chosen, taken);
  }

  path(points, close) {
    let text = "";
    let lastX, lastY;
    for (let index = 0; index < points.length; index += 2) {
      const x = this.view.x(points[index]).toFixed(1), y = this.view.y(points[index + 1]).toFixed(1);
      if (x === lastX && y === lastY) continue;
      text += `${index ? "L" : "M"}${x} ${y}`;
      lastX = x;
      lastY = y;
    }
    return close ? `${text}Z` : text;
  }

  drawLand() {
    const rings = clipLand(this.land, this.view.box(0.05));
    const data = rings.map((points) => this.path(points, true)).join("");
    this.layers.land.replaceChildren(make("path", { d: data, "fill-rule": "evenodd" }));
  }

  drawGraticule() {
    const [west, south, east, north] = this.view.box();
    const step = graticuleStep(Math.min(east - west, north - south) * 1.2);
    const { graticule: group, ticks } = this.layers;
    group.replaceChildren();
    ticks.replaceChildren();
    for (let index = Math.ceil(Math.max(west, -180) / step); index * step <= Math.min(east, 180); index++) {
      const lon = index * step, x = this.view.x(lon).toFixed(1);
      group.append(make("path", { d: `M${x} ${this.view.y(Math.min(north, 90))}V${this.view.y(Math.max(south, -90))}` }));
      ticks.append(make("text", { x, y: this.view.height - 6, "text-anchor": "middle" }, degreeText(lon, step, "EW")));
    }
    for (let index = Math.ceil(Math.max(south, -90) / step); index * step <= Math.min(north, 90); index++) {
      const lat = index * step, y = this.view.y(lat);
      group.append(make("path", { d: `M${this.view.x(Math.max(west, -180))} ${y.toFixed(1)}H${this.view.x(Math.min(east, 180))}` }));
      if (y > 14 && y < this.view.height - 24) {
        ticks.append(make("text", { x: 6, y: (y - 3).toFixed(1) }, degreeText(lat, step, "NS")));
      }
    }
  }

  drawDomain() {
    const { view } = this;
    const [west, south, east, north] = view.domain;
    const inner = `M${view.x(west)} ${view.y(south)}H${view.x(east)}V${view.y(north)}H${view.x(west)}Z`;
    const all = `M0 0H${view.width}V${view.height}H0Z`;
    this.layers.outside.replaceChildren(
      make("path", { class: "veil", d: all + inner, "fill-rule": "evenodd" }),
      make("path", { class: "border", d: inner }),
    );
  }

  /** Returns the boxes of the names, so that nothing else is written over them. */
  drawAreas(nodes, selected) {
    const taken = [];
    this.defs.replaceChildren(...nodes.map((node) => hatch(node)), ...STATE_HATCHES.map(stateHatch), arrowHead());
    const areas = this.layers.areas, labels = this.layers.labels;
    areas.replaceChildren();
    labels.replaceChildren();
    const chosen = nodes.find((node) => node.id === selected);
    if (chosen) areas.append(this.copies(chosen));
    for (const node of nodes) {
      if (!node.area.coordinates.length) continue;
      const away = node.state !== "alive" && node.state !== "suspect";
      const group = make("g", {
        class: `area ${node.state}${node.id === selected ? " selected" : ""}`,
        "data-node": node.id,
        fill: away ? `url(#hatch-${node.index})` : node.colour,
        stroke: node.colour,
      });
      group.append(make("title", {}, `${node.id}: ${node.stateText}, ${countText(node.records)} records, copies of others included`));
      group.append(make("path", { class: "inside", d: this.cells(node.area), "shape-rendering": "crispEdges" }));
      group.append(make("path", { class: "outline", d: this.lines(outlineOf(node.area)) }));
      group.addEventListener("click", () => this.onNode(node.id));
      areas.append(group);
      const box = this.label(labels, node);
      if (box) taken.push(box);
    }
    return taken;
  }

  /** Areas that a replica answers for, where records are still on their way, and that nobody answers for. */
  drawStates(coverage) {
    const group = this.layers.states;
    group.replaceChildren();
    for (const [owner, shape] of Object.entries(coverage.replicas || {})) {
      const asOf = coverage.replicas_as_of?.[owner];
      const text = `copies answer for ${owner}, ${asOf ? `as of ${timeText(asOf)}` : "nobody knows as of when"}`;
      group.append(this.stateArea("replicas", shape, text, owner));
    }
    if (coverage.settling) group.append(this.stateArea("settling", coverage.settling, "records are still being handed over"));
    if (coverage.missing) group.append(this.stateArea("missing", coverage.missing, "nobody in contact can answer for all of this"));
  }

  stateArea(name, shape, text, owner) {
    const group = make("g", { class: name, fill: `url(#hatch-${name})` });
    if (owner) group.setAttribute("data-owner", owner);
    group.append(make("title", {}, text), make("path", { d: this.cells(shape), "shape-rendering": "crispEdges" }));
    if (name === "missing") group.append(make("path", { class: "outline", d: this.lines(outlineOf(shape)) }));
    return group;
  }

  /** Areas on their way: stripes in the next owner's colour, and an arrow from the owner's area. */
  drawMoves(nodes, tasks) {
    const group = this.layers.moves;
    group.replaceChildren();
    for (const { kind, node, target, area, phase, reason } of tasks) {
      if (kind !== "move" || !area.coordinates.length) continue;
      const source = nodes.find(({ id }) => id === node), next = nodes.find(({ id }) => id === target);
      const mark = make("g", { class: "move", "data-from": node, "data-to": target, fill: next ? `url(#hatch-${next.index})` : "none" });
      mark.append(make("title", {}, `${node} hands this over to ${target}: ${reason || phase}`));
      mark.append(make("path", { d: this.cells(area), "shape-rendering": "crispEdges" }));
      const from = source && this.middle(source.area);
      const to = next?.area.coordinates.length ? this.middle(next.area) : this.middle(area);
      if (from && to && Math.hypot(to[0] - from[0], to[1] - from[1]) > 20) {
        mark.append(make("path", { class: "arrow", d: `M${from.join(" ")}L${to.join(" ")}`, "marker-end": "url(#arrow-head)" }));
      }
      group.append(mark);
    }
  }

  /** The middle of a shape's largest cell, on the page. */
  middle(shape) {
    const box = largestBox(shape);
    return box && [this.view.x((box[0] + box[2]) / 2), this.view.y((box[1] + box[3]) / 2)].map((place) => Number(place.toFixed(1)));
  }

  copies(node) {
    const group = make("g", { class: "copies", "data-copies-of": node.id, fill: node.colour, stroke: node.colour });
    group.append(make("path", { class: "inside", d: this.cells(node.holds), "shape-rendering": "crispEdges" }));
    group.append(make("path", { class: "outline", d: this.lines(outlineOf(node.holds)) }));
    return group;
  }

  cells(shape) {
    return shape.coordinates.map(([ring]) => {
      const [west, south, east, north] = boxOf(ring);
      const { view } = this;
      return `M${view.x(west)} ${view.y(south)}H${view.x(east)}V${view.y(north)}H${view.x(west)}Z`;
    }).join("");
  }

  lines(segments) {
    const { view } = this;
    return segments.map(([lon, lat, lon2, lat2]) =>
      `M${view.x(lon).toFixed(1)} ${view.y(lat).toFixed(1)}L${view.x(lon2).toFixed(1)} ${view.y(lat2).toFixed(1)}`).join("");
  }

  label(group, node) {
    const box = largestBox(node.area);
    const x = Math.max(this.view.x(box[0]), 0) + 10, y = Math.max(this.view.y(box[3]), 0) + 22;
    if (x > this.view.width || y > this.view.height || this.view.x(box[2]) < x + 20 || this.view.y(box[1]) < y) return null;
    const text = make("text", { class: `node-label ${node.state}`, x: x.toFixed(0), y: y.toFixed(0), "data-label": node.id });
    text.append(make("tspan", { class: "name", fill: node.colour }, node.id));
    const note = node.state === "alive" ? `${countText(node.records)} records with copies` : node.stateText;
    text.append(make("tspan", { class: "note", x: x.toFixed(0), dy: "1.25em" }, note));
    group.append(text);
    return [x - 4, y - 16, x + 7 * Math.max(note.length, node.id.length), y + 20];
  }

  drawDots(features, value, scale, chosen, taken) {
    const newest = features.reduce((last, { properties }) => (properties.time > last ? properties.time : last), "");
    const group = document.createDocumentFragment();
    const labelled = features.length <= DOT_LABELS_MAX;
    const radius = features.length > 2_000 ? 2.5 : features.length > 400 ? 3.5 : 5.5;
    for (const feature of features) {
      const { sensor, time } = feature.properties;
      const shown = feature.properties[value];
      const [lon, lat] = feature.geometry.coordinates;
      const x = this.view.x(lon), y = this.view.y(lat);
      const stale = Date.parse(newest) - Date.parse(time) > STALE_MS;
      const dot = make("circle", {
        class: `dot${stale ? " stale" : ""}${sensor === chosen ? " chosen" : ""}`,
        cx: x.toFixed(1), cy: y.toFixed(1), r: sensor === chosen ? radius + 3 : radius,
        fill: scale.colour(shown), "data-sensor": sensor,
      });
      dot.append(make("title", {}, `${sensor}: ${value} ${textOf(shown)}, ${timeText(time)}`));
      dot.addEventListener("pointerenter", (event) => this.onDot(feature, event, false));
      dot.addEventListener("pointerleave", () => this.onDot(null));
      dot.addEventListener("click", (event) => this.onDot(feature, event, true));
      group.append(dot);
      if (labelled) this.dotLabel(group, taken, x + radius + 3, y + 4, textOf(shown));
    }
    this.layers.dots.replaceChildren(group);
  }

  dotLabel(group, taken, x, y, text) {
    const box = [x, y - 11, x + 7 * text.length, y + 2];
    if (text === "–" || text.length > 12) return;
    if (taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1])) return;
    taken.push(box);
    group.append(make("text", { class: "dot-label", x: x.toFixed(1), y: y.toFixed(1) }, text));
  }
}

const STATE_HATCHES = ["replicas", "settling", "missing"];

/** What an area that does not answer as usual is filled with; the style sheet has the colours. */
function stateHatch(name) {
  const pattern = make("pattern", {
    id: `hatch-${name}`, width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(-45)",
  });
  pattern.append(make("rect", { class: `ink ${name}`, width: name === "missing" ? 4 : 1.5, height: 8 }));
  return pattern;
}

function arrowHead() {
  const marker = make("marker", { id: "arrow-head", viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 7, markerHeight: 7, orient: "auto" });
  marker.append(make("path", { d: "M0 0L10 5L0 10Z" }));
  return marker;
}

/** Stripes in a node's colour: its area while it is away. */
function hatch(node) {
  const pattern = make("pattern", {
    id: `hatch-${node.index}`, width: 9, height: 9, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)",
  });
  pattern.append(make("rect", { width: 4, height: 9, fill: node.colour }));
  return pattern;
}
