// State of the page, refreshing, and what keys and pointers do.

import { readAddress, writeAddress } from "./address.js";
import { getCollections, getLatest, getRing, getStatus, setToken } from "./api.js";
import { decodeLand } from "./coastline.js";
import { MapDrawing } from "./map.js";
import {
  absenceSentences, byId, fillSelect, showCoverage, showDetails, showLegend, showNodes, showNotice,
  showSensors, showTip,
} from "./panel.js";
import { showTasks } from "./tasks.js";
import { countText, makeScale, nodeColour, timeText } from "./scale.js";
import { View } from "./view.js";

const REFRESH_MS = 10_000;
const REFRESH_BUSY_MS = 2_000; // while something is under way
const SENSORS_MAX = 5_000; // what a browser draws without a pause
const MOVE_DELAY_MS = 250; // after moving the map, before the values in view are asked for

const view = new View();
const state = {
  nodes: [], here: "", cluster: "", coverage: { state: "complete" }, tasks: [], collections: [], features: [], more: false,
  selected: null, chosen: null, collection: "", value: "", pinned: false,
  reached: true, paused: false, updated: null, failure: "", fitted: false,
};
const drawing = new MapDrawing(byId("map"), view, { onDot: hoverDot, onNode: selectNode });

async function refresh() {
  try {
    const [status, ring, catalogue] = await Promise.all([getStatus(), getRing(), getCollections()]);
    takeStatus(status, ring);
    state.collections = catalogue.collections;
    chooseCollection();
    await refreshValues();
    state.reached = true;
    state.failure = "";
    state.updated = new Date();
    byId("login").hidden = true;
  } catch (error) {
    if (error.status === undefined) throw error;
    takeFailure(error);
  }
  show();
  document.body.dataset.ready = "true";
}

function takeStatus(status, ring) {
  view.setDomain(ring.domain);
  if (!state.fitted) {
    view.fit();
    state.fitted = true;
  }
  state.cluster = ring.cluster;
  state.here = status.node;
  state.coverage = status.coverage;
  state.tasks = status.tasks || [];
  const nothing = { type: "MultiPolygon", coordinates: [] };
  state.nodes = [...status.nodes]
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .map((node, index) => ({
      ...node, index, colour: nodeColour(index), stateText: stateText(node),
      area: node.area || nothing, holds: node.holds || nothing,
    }));
}

function stateText(node) {
  if (node.state === "alive") return "in contact";
  if (node.state === "suspect") return `silent since ${timeText(node.since)}, still asked`;
  if (node.state === "away") return `away since ${timeText(node.since)}`;
  return "not heard of yet";
}

function takeFailure(error) {
  if (error.status === 401 || error.status === 403) {
    byId("login").hidden = false;
    state.failure = error.message;
    return;
  }
  state.reached = error.status !== 0;
  state.failure = state.reached ? `The node answered with an error: ${error.message}.` : `This node gives no answer (${error.message}).`;
}

function chooseCollection() {
  const options = state.collections.map(({ id }) => ({ value: id, text: id }));
  state.collection = fillSelect("collection", options, state.collection);
  const values = state.collections.find(({ id }) => id === state.collection)?.values || {};
  const names = Object.entries(values).filter(([, type]) => type === "number" || type === "boolean" || type === "text");
  const wanted = names.some(([name]) => name === state.value) ? state.value : preferred(names);
  state.value = fillSelect("value", names.map(([name]) => ({ value: name, text: name })), wanted);
}

/** The value shown first: one that people look for, else the first number. */
function preferred(names) {
  const usual = ["temp", "temperature", "value"].find((name) => names.some(([other]) => other === name));
  return usual || names.find(([, type]) => type === "number")?.[0] || names[0]?.[0] || "";
}

async function refreshValues() {
  const box = view.domainBox();
  if (!state.collection || !box) {
    state.features = [];
    return;
  }
  const answer = await getLatest(state.collection, box, SENSORS_MAX);
  state.features = answer.features;
  state.more = answer.links?.some(({ rel }) => rel === "next") || false;
}

function show() {
  const sentences = state.failure ? [state.failure] : absenceSentences(state.nodes, state.coverage);
  if (!state.reached && state.updated) sentences.push(`Shown is what was known at ${clock(state.updated)}.`);
  showNotice(sentences);
  showCoverage(state.coverage, state.reached);
  byId("cluster").textContent = state.cluster === "zring" ? "" : state.cluster;
  byId("updated").textContent = state.updated ? `updated ${clock(state.updated)}${state.paused ? ", paused" : ""}` : "nothing received yet";
  showTasks(byId("under-way"), byId("tasks").tBodies[0], state.tasks);
  showNodes(state.nodes, state.selected, state.here, selectNode);
  showDetails(state.nodes.find(({ id }) => id === state.selected));
  const scale = makeScale(state.features.map(({ properties }) => properties[state.value]));
  showLegend(scale, state.features.length ? state.value : "");
  showSensors(state.features, state.value, state.chosen, chooseSensor);
  byId("shown").textContent = shownText();
  writeAddress(state);
  draw(scale);
}

function draw(scale = makeScale(state.features.map(({ properties }) => properties[state.value]))) {
  drawing.draw({ ...state, scale });
}

function shownText() {
  if (!state.collections.length) return "Nothing is stored yet: POST records to /collections/NAME/items, or run zring ingest.";
  if (!state.features.length) return "No sensor of this collection is in view.";
  const times = state.features.map(({ properties }) => properties.time).sort();
  const count = `${countText(state.features.length)} ${state.features.length === 1 ? "sensor" : "sensors"}`;
  const { records } = state.collections.find(({ id }) => id === state.collection) || {};
  const more = state.more ? " (not all: zoom in to see the others)" : "";
  const empty = state.features.some(({ properties }) => properties[state.value] === undefined) ? " Grey ones have no such value." : "";
  return `${countText(records)} records; ${count} in view${more}, newest from ${timeText(times.at(-1))}. Hollow dots are more than a day older.${empty}`;
}

const clock = (date) => date.toLocaleTimeString("en-GB");

function selectNode(id) {
  state.selected = state.selected === id ? null : id;
  show();
}

function chooseSensor(feature) {
  const { sensor } = feature.properties;
  state.chosen = state.chosen === sensor ? null : sensor;
  state.pinned = state.chosen !== null;
  const stage = byId("stage").getBoundingClientRect();
  const [lon, lat] = feature.geometry.coordinates;
  const place = { clientX: stage.left + view.x(lon), clientY: stage.top + view.y(lat) };
  showTip(state.pinned ? feature : null, place, state.value);
  show();
}

function hoverDot(feature, event, clicked) {
  if (clicked) chooseSensor(feature);
  else if (!state.pinned) showTip(feature, event, state.value);
}

let moveTimer = 0;
function moved() {
  unpin();
  draw();
  clearTimeout(moveTimer);
  moveTimer = setTimeout(refresh, MOVE_DELAY_MS);
}

function unpin() {
  state.pinned = false;
  state.chosen = null;
  showTip(null);
}

function fitAll() {
  view.fit();
  moved();
}

const KEYS = {
  ArrowLeft: () => view.pan(60, 0), ArrowRight: () => view.pan(-60, 0),
  ArrowUp: () => view.pan(0, 60), ArrowDown: () => view.pan(0, -60),
  "+": () => view.zoom(1.4), "=": () => view.zoom(1.4), "-": () => view.zoom(1 / 1.4), 0: () => view.fit(), Escape: unpin,
};

function listenToMap(svg) {
  let from = null;
  svg.addEventListener("keydown", (event) => {
    const action = event.ctrlKey || event.metaKey ? undefined : KEYS[event.key];
    if (!action) return;
    event.preventDefault();
    action();
    moved();
  });
  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    const corner = svg.getBoundingClientRect();
    view.zoom(Math.exp(-event.deltaY * 0.0015), event.clientX - corner.left, event.clientY - corner.top);
    moved();
  }, { passive: false });
  svg.addEventListener("pointerdown", (event) => { from = [event.clientX, event.clientY, event.pointerId]; });
  svg.addEventListener("pointermove", (event) => {
    showPosition(event);
    if (!from || from[2] !== event.pointerId || !event.buttons) return;
    const dx = event.clientX - from[0], dy = event.clientY - from[1];
    if (Math.hypot(dx, dy) < 4 && !svg.hasPointerCapture(event.pointerId)) return;
    svg.setPointerCapture(event.pointerId); // only now, or clicks would not reach the dots
    view.pan(dx, dy);
    from = [event.clientX, event.clientY, event.pointerId];
    moved();
  });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { from = null; });
}

function showPosition(event) {
  const corner = byId("map").getBoundingClientRect();
  const lon = view.lonAt(event.clientX - corner.left), lat = view.latAt(event.clientY - corner.top);
  byId("position").textContent = `${lon.toFixed(4)}, ${lat.toFixed(4)}`;
}

function listen() {
  listenToMap(byId("map"));
  byId("zoom-in").addEventListener("click", () => { view.zoom(1.6); moved(); });
  byId("zoom-out").addEventListener("click", () => { view.zoom(1 / 1.6); moved(); });
  byId("zoom-all").addEventListener("click", fitAll);
  byId("collection").addEventListener("change", (event) => { state.collection = event.target.value; unpin(); refresh(); });
  byId("value").addEventListener("change", (event) => { state.value = event.target.value; show(); });
  byId("pause").addEventListener("click", (event) => {
    state.paused = !state.paused;
    event.target.setAttribute("aria-pressed", String(state.paused));
    event.target.textContent = state.paused ? "Resume" : "Pause";
    if (state.paused) show();
    else refresh();
  });
  byId("login").addEventListener("submit", (event) => {
    event.preventDefault();
    setToken(byId("token").value);
    refresh();
  });
  new ResizeObserver(([{ contentRect }]) => {
    const whole = view.scale === view.fitScale;
    view.setSize(Math.max(1, contentRect.width), Math.max(1, contentRect.height));
    if (whole) view.fit();
    draw();
  }).observe(byId("stage"));
}

async function start() {
  const stage = byId("stage").getBoundingClientRect();
  view.setSize(Math.max(1, stage.width), Math.max(1, stage.height));
  view.fit();
  Object.assign(state, readAddress());
  listen();
  const land = fetch("land.bin").then((response) => response.arrayBuffer());
  await refresh();
  drawing.land = decodeLand(await land);
  draw();
  document.body.dataset.land = "drawn";
  setInterval(() => {
    const due = state.tasks.length > 0 || !state.updated || Date.now() - state.updated >= REFRESH_MS - REFRESH_BUSY_MS / 2;
    if (due && !state.paused && !document.hidden) refresh();
  }, REFRESH_BUSY_MS);
}

start();
