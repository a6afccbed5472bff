// What the console process has told so far, and who wants to know.

/**
 * @typedef {{
 *   namespace: string, name: string, ready: string, reason: string, message: string, since: string,
 *   suspended: boolean, window: string, serving: number, desired: number, min: number | null, max: number | null,
 *   next: {at: string, window: string, min_replicas: number, max_replicas: number} | null, week: string,
 *   precision: string, models: string[], cost: string | null, monthly: string, tier: string, perMinute: number | null,
 *   behind: string, behindWhy: string, queued: string, needsKey: boolean,
 * }} Tenant
 * @typedef {{
 *   name: string, engine: string, languages: string[], voices: {name: string, languages: string[]}[],
 *   precisions: string[], tenants: number | null, updated: number | null, ready: string, reason: string,
 *   message: string, mode: string,
 * }} Model
 * @typedef {{
 *   namespace: string, tenant: string, pool: string, change: string, state: string, updated: number, replicas: number,
 * }} Rolling
 * @typedef {{
 *   problem?: string, requests: number, refused: number, p95: number | null, seconds: number | null,
 *   left: {quota: string, left: number, limit: number} | null, read: number,
 * }} Figures
 */

export const store = {
  /** @type {Map<string, Tenant>} */ tenants: new Map(),
  /** @type {Model[]} */ models: [],
  /** @type {Rolling[]} */ rollouts: [],
  /** @type {string[]} */ notices: [],
  /** @type {Map<string, import("./strip.js").Week>} */ weeks: new Map(),
  /** @type {Map<string, Figures>} */ figures: new Map(),
  synced: false,
  connected: false,
};

/** @type {Set<() => void>} */
const listeners = new Set();
let due = false;

/** @param {() => void} listener called at most once for each frame */
export const onChange = (listener) => listeners.add(listener);

export function changed() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    for (const listener of listeners) listener();
  });
}

/** @param {{namespace: string, name: string}} tenant */
export const keyOf = ({ namespace, name }) => `${namespace}/${name}`;

export function listen() {
  const source = new EventSource("events");
  let first = true;
  source.onopen = () => {
    store.connected = true;
    first = true;
    changed();
  };
  source.onerror = () => {
    store.connected = false;
    changed();
  };
  source.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (first) {
      first = false; // a new connection is told everything anew
      store.tenants.clear();
    }
    for (const tenant of message.tenants) store.tenants.set(keyOf(tenant), tenant);
    for (const key of message.gone) store.tenants.delete(key);
    for (const [name, week] of Object.entries(message.weeks)) store.weeks.set(name, week);
    store.models = message.models ?? store.models;
    store.rollouts = message.rollouts ?? store.rollouts;
    store.notices = message.notices ?? store.notices;
    store.synced = message.synced;
    changed();
  };
}
