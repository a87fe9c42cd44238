// What is chosen, as the part of the address behind #, so that a view can be passed on as a link.

const KEYS = ["collection", "value", "selected"];

/** The choices in the address; what it does not name is left out. */
export function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(KEYS.filter((key) => given.has(key)).map((key) => [key, given.get(key)]));
}

/** Write the choices into the address, without a new entry in the history. */
export function writeAddress(state) {
  const chosen = new URLSearchParams(KEYS.filter((key) => state[key]).map((key) => [key, state[key]]));
  if (location.hash.slice(1) !== chosen.toString()) history.replaceState(null, "", `#${chosen}`);
}
