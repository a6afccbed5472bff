// The table of tenants. Only rows that can be seen exist, so that a thousand tenants scroll as ten do.

import { el, put, say, the } from "./dom.js";
import { changed, keyOf, store } from "./store.js";
import { drawStrip, words } from "./strip.js";
import { age, bounds, weekdayTime } from "./times.js";

/**
 * @typedef {import("./store.js").Tenant} Tenant
 * @typedef {import("./store.js").Figures} Figures
 */

const SPARE = 4;
const FIGURES_MILLISECONDS = 15_000;
const REST_MILLISECONDS = 300;
const NARROW = matchMedia("(max-width: 60rem)");

/** Key of a column, heading, and what rows are ordered by. @type {[string, string, (row: Tenant) => string | number][]} */
const COLUMNS = [
  ["tenant", "Tenant", (row) => keyOf(row)],
  ["ready", "Ready", (row) => `${rank(row)} ${row.reason}`],
  ["replicas", "Replicas", (row) => -row.serving],
  ["window", "Window, next", (row) => row.next?.at ?? "~"],
  ["week", "This week", (row) => row.week],
  ["refused", "429s", (row) => -(figures(row)?.refused ?? -1)],
  ["p95", "P95", (row) => -(figures(row)?.p95 ?? -1)],
  ["quota", "Quota left", (row) => share(figures(row))],
  ["cost", "Cost/h", (row) => -(row.cost === null ? -1 : Number(row.cost))],
  ["version", "Version", (row) => (row.behind ? `0 ${row.behind}` : "1")],
];

/** @param {Tenant} row */
const figures = (row) => {
  const found = store.figures.get(keyOf(row));
  return found && !found.problem ? found : null;
};
/** @param {Figures | null} found */
const share = (found) => (found?.left?.limit ? found.left.left / found.left.limit : 2);
/** Those that need somebody first. @param {Tenant} row */
const rank = (row) => (row.ready === "False" ? 0 : row.ready === "Unknown" ? 1 : row.behind ? 2 : row.suspended ? 4 : 3);

const scroll = the("scroll"), rows = the("rows"), filter = /** @type {HTMLInputElement} */ (the("filter"));
const problems = /** @type {HTMLInputElement} */ (the("problems"));
const sort = /** @type {HTMLSelectElement} */ (the("sort"));

let order = "ready", down = false;
/** @type {Tenant[]} */ let shown = [];
/** Tenant with the keyboard's focus. */ let current = "";
/** @type {HTMLElement[]} */ const pool = [];

export function begin() {
  for (const [name, heading] of COLUMNS) {
    const button = el("button", { type: "button", text: heading, onclick: () => orderBy(name) });
    the("columns").append(el("div", { role: "columnheader", class: name, id: `by-${name}` }, button));
    sort.append(new Option(heading, name));
  }
  sort.value = order;
  sort.addEventListener("change", () => orderBy(sort.value, false));
  filter.addEventListener("input", () => update());
  problems.addEventListener("change", () => update());
  scroll.addEventListener("scroll", () => draw(), { passive: true });
  scroll.addEventListener("scroll", () => rest(), { passive: true });
  scroll.addEventListener("keydown", move);
  rows.addEventListener("click", ({ target }) => open(/** @type {Element} */ (target).closest("[data-key]")));
  rows.addEventListener("focusin", ({ target }) => {
    current = /** @type {HTMLElement} */ (target).closest("[data-key]")?.getAttribute("data-key") ?? current;
  });
  new ResizeObserver(() => draw()).observe(scroll);
  NARROW.addEventListener("change", () => draw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(true));
  setInterval(() => void readFigures(), FIGURES_MILLISECONDS);
  setInterval(() => draw(true), 60_000); // the mark at now moves
}

/** @param {string} name @param {boolean} turn */
function orderBy(name, turn = true) {
  down = turn && order === name ? !down : false;
  order = name;
  sort.value = name;
  update();
}

/** Order and filter anew, after a change of data or of the tools. */
export function update() {
  const words_ = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const by = /** @type {(row: Tenant) => string | number} */ (COLUMNS.find(([name]) => name === order)?.[2]);
  const all = [...store.tenants.values()];
  const kept = all.filter((row) => {
    if (problems.checked && rank(row) > 2) return false;
    const text = `${row.namespace}/${row.name} ${row.reason} ${row.window} ${row.tier} ${row.models.join(" ")} ${row.behind}`;
    return words_.every((word) => text.toLowerCase().includes(word));
  });
  const keyed = kept.map((row) => /** @type {const} */ ([by(row), keyOf(row), row]));
  const way = down ? -1 : 1;
  keyed.sort(([a, x], [b, y]) => (a < b ? -way : a > b ? way : x < y ? -1 : x > y ? 1 : 0));
  shown = keyed.map(([, , row]) => row);
  for (const [name] of COLUMNS) {
    const sorted = name === order ? (down ? "descending" : "ascending") : "none";
    put(the(`by-${name}`), "aria-sort", sorted);
  }
  put(the("table"), "aria-rowcount", String(shown.length + 1));
  sums(all);
  const empty = the("empty");
  empty.hidden = shown.length > 0;
  say(empty, !store.synced ? "Reading tenants…" : all.length ? "No tenant matches the filter." :
    "There are no tenants here that you may list. Apply a TTSTenant, or choose another context or namespace.");
  draw();
  rest();
}

/** @param {Tenant[]} all */
function sums(all) {
  const ready = all.filter((row) => row.ready === "True").length;
  const [serving, desired] = [all.reduce((sum, row) => sum + row.serving, 0), all.reduce((sum, row) => sum + row.desired, 0)];
  const priced = all.filter((row) => row.cost !== null);
  const cost = priced.reduce((sum, row) => sum + Number(row.cost), 0);
  const money = priced.length ? ` · ${cost.toFixed(2)} an hour${priced.length < all.length ? `, ${all.length - priced.length} without a price` : ""}` : "";
  const some = shown.length < all.length ? `${shown.length} of ` : "";
  say(the("totals"), `${some}${all.length} tenants · ${ready} ready · ${serving} of ${desired} replicas${money}`);
}

/** @param {boolean} anew draw strips again, too */
function draw(anew = false) {
  if (!scroll.clientHeight) return;
  const tall = NARROW.matches ? 176 : 56;
  rows.style.height = `${shown.length * tall}px`;
  const first = Math.max(Math.floor(scroll.scrollTop / tall) - SPARE, 0);
  const last = Math.min(Math.ceil((scroll.scrollTop + scroll.clientHeight) / tall) + SPARE, shown.length);
  while (pool.length < last - first) {
    const row = emptyRow();
    pool.push(row);
    rows.append(row);
  }
  // A row keeps its element while it is in view, so that the focus and the reader stay where they are.
  const free = new Set(pool);
  const wanted = shown.slice(first, last);
  /** @type {Map<string, HTMLElement>} */ const held = new Map();
  for (const element of pool) held.set(element.dataset.key ?? "", element);
  for (const row of wanted) {
    const element = held.get(keyOf(row));
    if (element) free.delete(element);
  }
  const spare = [...free];
  wanted.forEach((row, index) => {
    const key = keyOf(row);
    let element = held.get(key);
    if (!element || free.has(element)) element = /** @type {HTMLElement} */ (spare.pop());
    fill(element, row, first + index, tall, anew);
  });
  for (const element of spare) {
    if (element.contains(document.activeElement)) scroll.focus({ preventScroll: true });
    element.hidden = true;
    element.dataset.key = "";
  }
  const focusable = wanted.some((row) => keyOf(row) === current) ? current : wanted[0] ? keyOf(wanted[0]) : "";
  for (const element of pool) element.tabIndex = element.dataset.key && element.dataset.key === focusable ? 0 : -1;
}

function emptyRow() {
  const cell = (/** @type {string} */ name, /** @type {Node[]} */ ...inside) =>
    el("div", { role: "cell", class: name, "data-label": COLUMNS.find(([each]) => each === name)?.[1] }, ...inside);
  const two = (/** @type {string} */ name) => cell(name, el("b"), el("small"));
  return el("div", { role: "row", class: "row" },
    two("tenant"), cell("ready", el("span", { class: "badge" }), el("small")), two("replicas"), two("window"),
    cell("week", el("canvas", { role: "img" })), two("refused"), two("p95"), two("quota"), two("cost"), two("version"));
}

/** @param {Tenant} row @returns {[string, string, string]} class, word, detail of the badge */
export function state(row) {
  if (row.ready === "True" && row.suspended) return ["", "Suspended", ""];
  if (row.ready === "True") return ["good", "Ready", row.reason === "Ready" ? "" : row.reason];
  if (row.ready === "False") return ["bad", "Not ready", row.reason];
  return ["warn", "Unknown", row.reason];
}

/**
 * @param {HTMLElement} element
 * @param {Tenant} row
 * @param {number} index
 * @param {number} tall
 * @param {boolean} anew
 */
function fill(element, row, index, tall, anew) {
  const key = keyOf(row);
  const known = element.dataset.key === key;
  element.hidden = false;
  element.dataset.key = key;
  element.style.transform = `translateY(${index * tall}px)`;
  put(element, "aria-rowindex", String(index + 2));
  const both = (/** @type {string} */ name, /** @type {string} */ first, /** @type {string} */ second, hint = "") => {
    const cell = /** @type {HTMLElement} */ (element.querySelector(`.${name}`));
    say(/** @type {Element} */ (cell.firstElementChild), first);
    say(/** @type {Element} */ (cell.lastElementChild), second);
    if (cell.title !== hint) cell.title = hint;
  };
  const [mood, word, detail] = state(row);
  const zone = store.weeks.get(row.week)?.zone ?? "UTC";
  both("tenant", row.name, row.namespace, key);
  both("ready", word, detail || (row.since ? `for ${age(row.since)}` : ""), row.message);
  put(/** @type {Element} */ (element.querySelector(".badge")), "class", `badge ${mood}`);
  both("replicas", `${row.serving}/${row.desired}`, row.min === null ? "" : `of ${bounds(row.min, row.max)}`, "Ready of desired replicas of all pools, and the bounds of the entry pool");
  const next = row.next ? `${weekdayTime(zone, row.next.at)} → ${row.next.window} ${bounds(row.next.min_replicas, row.next.max_replicas)}` : "no change ahead";
  both("window", row.window || "–", next, row.next ? `${next} (${zone})` : "");
  const found = store.figures.get(key);
  const missing = found?.problem ?? "Not read yet";
  const good = figures(row);
  const since = good ? (good.seconds === null ? "since start" : `in ${Math.max(1, Math.round(good.seconds / 60))} min`) : "";
  both("refused", good ? `${good.refused}` : "–", good ? `of ${good.requests}` : "", good ? `Of ${good.requests} requests ${since}` : missing);
  both("p95", good?.p95 != null ? duration(good.p95) : "–", good?.p95 != null ? since : "", good ? "" : missing);
  const left = good?.left;
  both("quota", left ? `${Math.max(0, Math.floor(left.left))} of ${left.limit}` : row.tier,
    left ? limitName(left.quota) : row.perMinute ? `${row.perMinute}/min` : "", left ? `${left.quota} that are left; tier ${row.tier}` : missing);
  both("cost", price(row.cost), row.monthly ? `${money(row.monthly)}/month` : "", row.cost === null ? "A model has no price" : "");
  both("version", row.behind || "current", "", row.behindWhy);
  put(/** @type {Element} */ (element.querySelector(".version")), "class", `version${row.behind ? " behind" : ""}`);
  const canvas = /** @type {HTMLCanvasElement} */ (element.querySelector("canvas"));
  const week = store.weeks.get(row.week);
  canvas.hidden = !week;
  if (week && (anew || !known || canvas.dataset.week !== `${row.week} ${week.monday}`)) {
    canvas.dataset.week = `${row.week} ${week.monday}`;
    drawStrip(canvas, week, new Date());
    put(canvas, "aria-label", words(week, new Date()));
  }
}

const amounts = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
/** @param {string} amount */
const money = (amount) => (Number.isNaN(Number(amount)) ? amount : Number(amount) < 10 ? amount : amounts.format(Number(amount)));

/** @param {string | null} amount */
export const price = (amount) => (amount === null ? "–" : Number(amount) >= 1 ? Number(amount).toFixed(2) : amount);

/** A limit as `requestsPerMinute`, in words. @param {string} quota */
export const limitName = (quota) => quota.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`).replace(/ per /, "/").replace("/minute", "/min");

/** @param {number} seconds */
export const duration = (seconds) => (seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`);

/** @param {Element | null} element */
function open(element) {
  const key = element?.getAttribute("data-key");
  if (!key) return;
  current = key;
  location.hash = `#/tenant/${key.split("/").map(encodeURIComponent).join("/")}`;
}

/** Back from a tenant's page. */
export function focusCurrent() {
  const index = Math.max(shown.findIndex((row) => keyOf(row) === current), 0);
  if (shown.length) focusRow(index);
}

export const focusFilter = () => {
  filter.focus();
  filter.select();
};

/** @param {number} index */
function focusRow(index) {
  const tall = NARROW.matches ? 176 : 56;
  const top = index * tall;
  if (top < scroll.scrollTop) scroll.scrollTop = top;
  else if (top + tall > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = top + tall - scroll.clientHeight;
  current = keyOf(shown[index]);
  draw();
  pool.find((each) => each.dataset.key === current)?.focus({ preventScroll: true });
}

/** @param {KeyboardEvent} event */
function move(event) {
  if (!shown.length || event.ctrlKey || event.metaKey || event.altKey) return;
  const tall = NARROW.matches ? 176 : 56;
  const page = Math.max(Math.floor(scroll.clientHeight / tall) - 1, 1);
  const at = Math.max(shown.findIndex((row) => keyOf(row) === current), 0);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: shown.length - 1 }[event.key];
  if (event.key === "Enter") open(document.activeElement?.closest("[data-key]") ?? null);
  if (to === undefined) return;
  event.preventDefault();
  focusRow(Math.min(Math.max(to, 0), shown.length - 1));
}

let resting = 0;
function rest() {
  clearTimeout(resting);
  resting = setTimeout(() => void readFigures(), REST_MILLISECONDS);
}

/** Read figures of the rows in view: more would ask the API server for pods that nobody looks at. */
async function readFigures() {
  if (document.hidden || the("fleet").hidden) return;
  const now = Date.now();
  const asked = pool.map((element) => element.dataset.key ?? "").filter((key) => {
    const found = store.figures.get(key);
    return key && !(found && now - found.read < FIGURES_MILLISECONDS - 1000);
  });
  if (asked.length) await figuresOf(asked);
}

/** @param {string[]} keys */
export async function figuresOf(keys) {
  const query = new URLSearchParams(keys.map((key) => ["of", key]));
  for (const key of keys) store.figures.set(key, { ...(store.figures.get(key) ?? nothing()), read: Date.now() });
  try {
    const response = await fetch(`figures?${query}`, { cache: "no-store" });
    if (!response.ok) return;
    for (const [key, found] of Object.entries(await response.json()))
      store.figures.set(key, { ...nothing(), problem: undefined, .../** @type {Figures} */ (found), read: Date.now() });
    changed();
  } catch {
    // The badge of the connection says that the console process is gone.
  }
}

/** @returns {Figures} */
const nothing = () => ({ problem: "Not read yet", requests: 0, refused: 0, p95: null, seconds: null, left: null, read: 0 });
