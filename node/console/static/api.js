// Requests to the node that this page came from.

const TIMEOUT_MS = 8_000;
const TOKEN_KEY = "zring-token";

/** An answer that is an error; `status` 0 means that none came. */
export class RequestFailed extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Keep the token for this tab only. */
export function setToken(token) {
  sessionStorage.setItem(TOKEN_KEY, token);
}

/** The JSON at a path of the API; throws RequestFailed. */
export async function getJson(path) {
  const headers = { Accept: "application/json" };
  const token = sessionStorage.getItem(TOKEN_KEY);
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(path, { headers, signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store" });
  } catch (error) {
    throw new RequestFailed(error.name === "TimeoutError" ? "no answer in time" : "no connection", 0);
  }
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw new RequestFailed(problem.detail || problem.title || `status ${response.status}`, response.status);
}

export const getStatus = () => getJson("/cluster/status");
export const getRing = () => getJson("/cluster/ring");
export const getCollections = () => getJson("/collections");

/** The newest record of each sensor inside a box [west, south, east, north], at most `limit`. */
export function getLatest(collection, box, limit) {
  const bbox = box.map((degrees) => degrees.toFixed(5)).join(",");
  return getJson(`/collections/${encodeURIComponent(collection)}/latest?f=json&bbox=${bbox}&limit=${limit}`);
}
