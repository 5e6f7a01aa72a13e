// The view as a link: everything chosen stands after the # of the address. budget: percent; within: milliseconds; gap: 1 measures it.

const DEFAULTS = { source: "", model: "", target: "", contrast: "", methods: "", layer: "", part: "all", opacity: "85", exact: "", budget: "", within: "", gap: "", job: "" };

/** What the address asks for, with defaults. */
export function readLink() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(Object.entries(DEFAULTS).map(([key, value]) => [key, given.get(key) ?? value]));
}

/** The address of a view. */
export function linkOf(view) {
  const kept = Object.entries(view).filter(([key, value]) => key in DEFAULTS && String(value) !== DEFAULTS[key]);
  const address = new URL(location.href);
  address.hash = new URLSearchParams(kept).toString();
  return address.href;
}

export function writeLink(view) {
  history.replaceState(null, "", linkOf(view));
}
