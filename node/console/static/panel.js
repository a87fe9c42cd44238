// Everything beside the map: badge, messages, tables, legend. Text goes in as text, never as markup.

import { countText, ramp, textOf, timeText } from "./scale.js";

const SENSOR_ROWS_MAX = 200;
const LEGEND_STEPS = 24;

const COVERAGE_TEXTS = {
  complete: "complete: every node is in contact",
  local: "local: what absent nodes took alone cannot be known here",
  settling: "settling: records are still being handed back",
  partial: "partial: some of the map has no node that can answer",
};

/** The element with an id. */
export const byId = (id) => document.getElementById(id);

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export function showCoverage(coverage, reached) {
  const badge = byId("coverage");
  const state = reached ? coverage.state : "unreachable";
  badge.dataset.state = state;
  badge.textContent = reached ? state : "no contact";
  badge.title = reached ? `An answer over the whole map would be ${COVERAGE_TEXTS[state] || state}` : "This node does not answer";
}

/** What a person must know at once; nothing hides the line. */
export function showNotice(sentences) {
  const notice = byId("notice");
  const text = sentences.join(" ");
  if (notice.textContent !== text) notice.textContent = text;
  notice.hidden = !text;
}

/** Sentences about nodes that are not there. */
export function absenceSentences(nodes, coverage) {
  const away = nodes.filter((node) => node.state === "away");
  const sentences = [];
  if (away.length) {
    const names = away.map((node) => `${node.id} (since ${timeText(node.since)})`).join(", ");
    sentences.push(`${away.length} of ${nodes.length} nodes ${away.length > 1 ? "are" : "is"} away: ${names}.`);
    const others = Object.keys(coverage.replicas || {});
    if (others.length) sentences.push("Copies on other nodes answer for the striped area.");
  }
  if (coverage.alone_since) sentences.push(`This node has been alone since ${timeText(coverage.alone_since)}.`);
  if (coverage.settling) sentences.push("Records are still being handed over for some of the map.");
  if (coverage.missing) sentences.push("For some of the map there is nobody to answer.");
  return sentences;
}

export function showNodes(nodes, selected, here, onNode) {
  const rows = nodes.map((node) => {
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = node.colour;
    const button = element("button", { type: "button", className: "pick" }, swatch, node.id);
    button.setAttribute("aria-pressed", String(node.id === selected));
    button.addEventListener("click", () => onNode(node.id));
    const name = element("th", { scope: "row" }, button);
    if (node.id === here) name.append(element("span", { className: "quiet", textContent: " this one" }));
    const state = element("td", { className: `state ${node.state}`, textContent: node.state });
    state.title = node.stateText;
    const row = element("tr", {}, name, state, element("td", { className: "number", textContent: countText(node.records) }));
    row.dataset.node = node.id;
    row.dataset.state = node.state;
    return row;
  });
  replaceRows("nodes", rows);
}

export function showDetails(node) {
  const target = byId("details");
  if (!node) {
    const hint = "Choose a node to see where its copies lie.";
    target.replaceChildren(element("p", { className: "quiet", textContent: hint }));
    return;
  }
  const list = element("dl");
  const entries = [
    ["State", node.stateText], ["Address", node.url || "not known"], ["Peers use", node.peer || "not known"],
    ["Records", `${countText(node.records)}, copies of others included`], ["Store", node.store_id || "not known"],
  ];
  for (const [term, text] of entries) {
    list.append(element("dt", { textContent: term }), element("dd", { textContent: text }));
  }
  const hint = "The lighter area on the map is where it keeps copies for others.";
  target.replaceChildren(element("h3", { textContent: node.id }), list, element("p", { className: "quiet", textContent: hint }));
}

/** Fill a select; keeps what was chosen where it still exists. Returns the choice. */
export function fillSelect(id, options, wanted) {
  const select = byId(id);
  const names = options.map((option) => option.value).join("\n");
  if (select.dataset.names !== names) {
    select.replaceChildren(...options.map(({ value, text }) => element("option", { value, textContent: text })));
    select.dataset.names = names;
  }
  if (options.some((option) => option.value === wanted)) select.value = wanted;
  select.disabled = options.length === 0;
  return select.value;
}

export function showLegend(scale, value) {
  const legend = byId("legend");
  legend.replaceChildren();
  if (!value) return;
  if (scale.kind === "number") {
    const bar = element("div", { className: "ramp" });
    for (let step = 0; step < LEGEND_STEPS; step++) {
      const part = element("span");
      part.style.background = ramp(step / (LEGEND_STEPS - 1));
      bar.append(part);
    }
    const middle = (scale.low + scale.high) / 2;
    const marks = element("div", { className: "marks" });
    for (const mark of scale.low === scale.high ? [scale.low] : [scale.low, middle, scale.high]) {
      marks.append(element("span", { textContent: textOf(mark) }));
    }
    legend.append(bar, marks);
    return;
  }
  for (const category of scale.categories) {
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = scale.colour(category);
    legend.append(element("span", { className: "category" }, swatch, category));
  }
  if (scale.more > 0) legend.append(element("span", { className: "quiet", textContent: `and ${scale.more} more in grey` }));
}

export function showSensors(features, value, chosen, onSensor) {
  byId("sensor-value").textContent = value || "Value";
  const ordered = [...features].sort((a, b) => compareValues(b.properties[value], a.properties[value]));
  const rows = ordered.slice(0, SENSOR_ROWS_MAX).map((feature) => {
    const { sensor, time } = feature.properties;
    const button = element("button", { type: "button", className: "pick", textContent: sensor });
    button.setAttribute("aria-pressed", String(sensor === chosen));
    button.addEventListener("click", () => onSensor(feature));
    return element("tr", {}, element("th", { scope: "row" }, button),
      element("td", { className: "number", textContent: textOf(feature.properties[value]) }),
      element("td", { textContent: timeText(time).slice(0, 16) }));
  });
  replaceRows("sensors", rows);
}

function compareValues(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number" || typeof b === "number") return typeof a === "number" ? 1 : -1;
  return textOf(b).localeCompare(textOf(a));
}

/** Rows of a table anew; the button that had the focus keeps it. */
function replaceRows(id, rows) {
  const body = byId(id).tBodies[0];
  const focused = body.contains(document.activeElement) ? document.activeElement.textContent : null;
  body.replaceChildren(...rows);
  if (focused !== null) {
    [...body.querySelectorAll("button")].find((button) => button.textContent === focused)?.focus();
  }
}

/** Details of one record beside the pointer. */
export function showTip(feature, event, value) {
  const tip = byId("tip");
  tip.hidden = !feature;
  if (!feature) return;
  const { sensor, time, version, ...values } = feature.properties;
  const [lon, lat] = feature.geometry.coordinates;
  const list = element("dl");
  for (const [name, content] of Object.entries(values).slice(0, 14)) {
    list.append(element("dt", { textContent: name, className: name === value ? "shown" : "" }),
      element("dd", { textContent: textOf(content) }));
  }
  tip.replaceChildren(element("strong", { textContent: sensor }),
    element("div", { className: "quiet", textContent: `${timeText(time)} · ${lon}, ${lat}` }), list);
  const stage = byId("stage").getBoundingClientRect();
  const left = Math.min(event.clientX - stage.left + 14, stage.width - tip.offsetWidth - 8);
  const top = Math.min(event.clientY - stage.top + 14, stage.height - tip.offsetHeight - 8);
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, top)}px`;
}
