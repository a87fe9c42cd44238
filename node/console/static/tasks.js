// What is under way: the table beside the map. Text goes in as text, never as markup.

import { countText } from "./scale.js";

const ROWS_MAX = 50;
const KIND_TEXTS = { "move": "moves an area to", "hand-over": "sends what lacks to", "fill": "is being filled", "let-go": "lets go of copies" };

/** The most records that each task was seen to have left: what its bar is measured by. */
const most = new Map();

/** Rows of the table; hides the whole section while there is nothing. */
export function showTasks(section, body, tasks) {
  section.hidden = tasks.length === 0;
  const keys = new Set(tasks.map(keyOf));
  for (const key of most.keys()) if (!keys.has(key)) most.delete(key);
  body.replaceChildren(...tasks.slice(0, ROWS_MAX).map(rowOf));
}

/** "1,700 records left, 1.2 MB/s, about 12 s" */
export function leftText({ records_left: records, bytes_per_s: rate, eta_s: seconds }) {
  const parts = [];
  if (records) parts.push(`${countText(records)} records left`);
  if (records && rate) parts.push(`${rateText(rate)}/s`);
  if (seconds !== null && seconds !== undefined) parts.push(`about ${durationText(seconds)}`);
  return parts.join(", ");
}

const keyOf = ({ kind, node, target }) => `${kind} ${node} ${target || ""}`;

function rowOf(task) {
  const row = document.createElement("tr");
  row.dataset.task = task.kind;
  row.dataset.from = task.node;
  if (task.target) row.dataset.to = task.target;
  const who = document.createElement("th");
  who.scope = "row";
  who.textContent = [task.node, KIND_TEXTS[task.kind] || task.kind, task.target].filter(Boolean).join(" ");
  const how = document.createElement("td");
  how.textContent = [leftText(task), task.reason || task.phase].filter(Boolean).join("; ");
  const total = Math.max(most.get(keyOf(task)) || 0, task.records_left);
  if (total > 0) {
    most.set(keyOf(task), total);
    const bar = document.createElement("progress");
    bar.max = total;
    bar.value = total - task.records_left;
    bar.setAttribute("aria-label", `${countText(task.records_left)} of ${countText(total)} records left`);
    how.prepend(bar);
  }
  row.append(who, how);
  return row;
}

function rateText(rate) {
  if (rate >= 1e6) return `${(rate / 1e6).toFixed(1)} MB`;
  return rate >= 1e3 ? `${(rate / 1e3).toFixed(0)} kB` : `${rate} B`;
}

function durationText(seconds) {
  if (seconds >= 7200) return `${(seconds / 3600).toFixed(1)} h`;
  return seconds >= 120 ? `${Math.round(seconds / 60)} min` : `${seconds} s`;
}
