// Runs beside the real page: uses it as a person would and writes down what came of it.

import { clipLand } from "/console/coastline.js";
import { outlineOf } from "/console/outline.js";
import { makeScale, ramp } from "/console/scale.js";
import { View, degreeText, graticuleStep } from "/console/view.js";

const results = {};

function square(west, south, size) {
  const east = west + size, north = south + size;
  return [[[west, south], [east, south], [east, north], [west, north], [west, south]]];
}

/** Total length of the lines around squares [west, south, size]. */
function around(...squares) {
  const shape = { type: "MultiPolygon", coordinates: squares.map((entry) => square(...entry)) };
  return outlineOf(shape).reduce((sum, [x, y, x2, y2]) => sum + Math.hypot(x2 - x, y2 - y), 0);
}

results.outline = [around([0, 0, 2]), around([0, 0, 2], [2, 0, 1]), around([0, 0, 1], [5, 5, 1])];

const view = new View();
view.setSize(800, 600);
view.setDomain([135, 33, 136.6, 34.6]);
view.fit();
const before = [view.lonAt(200), view.latAt(100)];
view.zoom(3, 200, 100);
results.fixed = Math.hypot(view.lonAt(200) - before[0], view.latAt(100) - before[1]) < 1e-9;
view.pan(1e9, 1e9);
results.inside = view.lon === 135 && view.lat === 34.6;
results.texts = [degreeText(-0.25, 0.05, "EW"), degreeText(0, 10, "NS"), graticuleStep(1.6), graticuleStep(180)];

const island = { box: [0, 0, 10, 10], points: [0, 0, 10, 0, 10, 10, 0, 10] };
const [cut] = clipLand([island], [5, -5, 20, 5]);
results.clipped = [Math.min(...cut.filter((_, at) => at % 2 === 0)), Math.max(...cut.filter((_, at) => at % 2 === 1))];
results.beside = clipLand([island], [20, 20, 30, 30]).length;
results.scale = [makeScale([1, 3, null]).colour(1) === ramp(0), makeScale(["a", "b", "a"]).categories.join("")];

const settled = () => new Promise((done) => setTimeout(done, 700));
const key = (name) => document.getElementById("map").dispatchEvent(new KeyboardEvent("keydown", { key: name }));
const border = () => document.querySelector(".border").getAttribute("d");

while (document.body.dataset.land !== "drawn") await settled();
const whole = border();
key("+");
key("ArrowLeft");
await settled();
results.moved = border() !== whole;
key("0");
await settled();
results.back = border() === whole;
document.querySelector('#nodes tr[data-node="se"] button').click();
results.selected = [document.querySelector(".area.selected").dataset.node, location.hash.includes("selected=se")];
document.querySelector('circle[data-sensor="65042"]').dispatchEvent(new PointerEvent("pointerenter"));
results.tip = document.getElementById("tip").hidden ? "" : document.querySelector("#tip strong").textContent;
const value = document.getElementById("value");
value.value = "note";
value.dispatchEvent(new Event("change"));
results.legend = document.querySelector("#legend .category").textContent;
document.getElementById("pause").click();
results.paused = document.getElementById("updated").textContent.endsWith("paused");

const report = document.createElement("pre");
report.id = "results";
report.textContent = JSON.stringify(results);
document.body.append(report);
