// A tenant's page: what is wrong and what to do, its calendar, pools, pods, events, keys' names, and a playground.

import { el, table, the } from "./dom.js";
import { duration, figuresOf, limitName, price, state } from "./fleet.js";
import { explained, keys, play, stop } from "./speech.js";
import { keyOf, store } from "./store.js";
import { bigStrip } from "./strip.js";
import { age, bounds, replicas, weekdayTime } from "./times.js";

const page = the("tenant");
const REFRESH_MILLISECONDS = 5000;
let shown = "";
/** What the page was built from: it is built anew when that changes, and not while somebody types. */
let built = "";
/** @type {any} */ let detail = null;
let problem = "";
let asked = 0;
/** The row for which the rest was read last: once it changes, so has the rest. */
let readFor = "";

/** @param {string} key */
export function show(key) {
  if (shown !== key) {
    shown = key;
    built = "";
    detail = null;
    problem = "";
    readFor = "";
    page.replaceChildren();
    stop();
  }
  void figuresOf([key]);
  update();
}

setInterval(() => {
  if (page.hidden || document.hidden) return;
  void read();
}, REFRESH_MILLISECONDS);
setInterval(() => void (!page.hidden && !document.hidden && figuresOf([shown])), 15_000);

async function read() {
  const key = shown, mine = (asked += 1);
  if (!store.tenants.has(key)) return;
  try {
    const response = await fetch(`tenants/${key.split("/").map(encodeURIComponent).join("/")}`, { cache: "no-store" });
    if (mine !== asked || key !== shown) return;
    detail = response.ok ? await response.json() : null;
    problem = response.ok || response.status === 404 ? "" : `The console answered with status ${response.status}.`;
  } catch {
    if (mine === asked) problem = "The console process does not answer: is `kubectl tts console` still running?";
  }
  update();
}

export function update() {
  if (page.hidden) return;
  const row = store.tenants.get(shown);
  const about = row ? JSON.stringify([shown, row]) : "";
  if (about !== readFor) {
    readFor = about;
    void read();
  }
  const now = JSON.stringify([row, detail, problem, store.figures.get(shown), store.weeks.get(row?.week ?? "")?.monday, store.synced]);
  if (now === built) return;
  built = now;
  const title = el("div", { class: "title" }, el("a", { href: "#/", class: "back", text: "← Fleet" }),
    el("h2", { id: "tenant-title", tabindex: "-1", text: shown }));
  if (!row) {
    const text = store.synced ? "There is no such tenant, or you may not list it." : "Reading…";
    page.replaceChildren(title, el("p", { class: "help", text }));
    return;
  }
  const [mood, word] = state(row);
  title.append(el("span", { class: `badge ${mood}`, text: word }));
  const speech = page.querySelector("#speech") ?? playground(row);
  const focused = focusIn(speech);
  const parts = [title, headline(row), facts(row), calendar(row)];
  if (detail) parts.push(conditions(), pools(), pods(), events(), secrets(row));
  else parts.push(el("p", { class: "help", text: problem || "Reading conditions, pods and events…" }));
  // The playground stays in the page as it is: somebody may be typing.
  const kept = page.contains(speech);
  if (kept) {
    for (const child of [...page.children]) if (child !== speech) child.remove();
    speech.before(...parts.slice(0, 4));
    speech.after(...parts.slice(4));
  } else page.replaceChildren(...parts.slice(0, 4), speech, ...parts.slice(4));
  if (focused) /** @type {HTMLElement | null} */ (page.querySelector(focused))?.focus({ preventScroll: true });
}

/** A selector of the element with the focus, which is about to be built anew; empty for none.
 * @param {Element} kept
 */
function focusIn(kept) {
  const active = document.activeElement;
  if (!active || !page.contains(active) || kept.contains(active)) return "";
  if (active.id) return `#${active.id}`;
  const label = active.getAttribute("aria-label");
  return label ? `[aria-label="${CSS.escape(label)}"]` : ".back";
}

/** @param {import("./store.js").Tenant} row */
function headline(row) {
  const todo = row.ready === "True" ? row.behindWhy : row.message;
  if (!todo) return el("p", { class: "help", text: row.ready === "True" ? "Nothing needs to be done." : row.reason });
  return el("div", { class: `todo ${row.ready === "True" ? "warn" : "bad"}` },
    el("b", { text: row.ready === "True" ? row.behind : row.reason }), el("p", { text: todo }));
}

/** @param {import("./store.js").Tenant} row */
function facts(row) {
  const found = store.figures.get(shown);
  const good = found && !found.problem ? found : null;
  const span = good ? (good.seconds === null ? "since the pods started" : `in ${Math.max(1, Math.round(good.seconds / 60))} min`) : "";
  /** @type {[string, string, string][]} */
  const all = [
    ["Replicas", `${row.serving} of ${row.desired}`, `bounds ${bounds(row.min, row.max)}`],
    ["Window", row.window || "–", row.precision ? `precision ${row.precision}` : ""],
    ["Cost", row.cost === null ? "–" : `${price(row.cost)}/h`, row.monthly ? `${row.monthly} this month` : "no price is known"],
    ["429s", good ? `${good.refused}` : "–", good ? `of ${good.requests} requests ${span}` : found?.problem ?? ""],
    ["P95", good?.p95 != null ? duration(good.p95) : "–", good?.p95 != null ? span : good ? "no request yet" : ""],
    ["Quota", good?.left ? `${Math.max(0, Math.floor(good.left.left))} of ${good.left.limit}` : row.tier, good?.left ? `${limitName(good.left.quota)} left, tier ${row.tier}` : row.perMinute ? `${row.perMinute} requests a minute` : "limits of the tier"],
    ["Version", row.behind || "current", detail?.generation ? `generation ${detail.running ?? "–"} of ${detail.generation}` : ""],
    ["Address", detail?.url || "–", row.models.join(", ")],
  ];
  return el("dl", { class: "facts" }, ...all.map(([name, value, note]) =>
    el("div", {}, el("dt", { text: name }), el("dd", { text: value, title: value }), el("dd", { class: "help", text: note, title: note }))));
}

/** @param {import("./store.js").Tenant} row */
function calendar(row) {
  const week = store.weeks.get(row.week);
  if (!week) return el("section", { class: "card" }, el("h2", { text: "Calendar" }), el("p", { class: "help", text: "This schedule cannot be read: see the condition Accepted." }));
  const next = row.next
    ? `Next change: ${weekdayTime(week.zone, row.next.at)}, ${row.next.window} with ${replicas(row.next.min_replicas, row.next.max_replicas)}.`
    : "No change is ahead.";
  return el("section", { class: "card" }, el("h2", { text: "Calendar" }),
    el("p", { class: "help", text: `Week of ${week.monday}, ${week.zone}. ${next}` }), bigStrip(week, new Date(), el));
}

function conditions() {
  /** @type {any[]} */ const all = detail.conditions;
  const rank = (/** @type {any} */ each) => (each.type === "Ready" ? 0 : each.tells ? 1 : 2);
  const sorted = [...all].sort((a, b) => rank(a) - rank(b));
  return table("Conditions", ["Condition", "Status", "For", "Reason", "What to do"], sorted.map((each) => [
    each.type,
    el("span", { class: `badge ${each.type === "Ready" || !each.tells ? (each.tells ? "bad" : "good") : "warn"}`, text: each.status }),
    age(each.since), each.reason, el("span", { class: "message", text: each.message || (each.tells ? "" : "Nothing") }),
  ]), "No operator has looked at this tenant yet. Is one running, and does it watch this namespace?");
}

const pools = () =>
  table("Pools", ["Model", "Role", "Precision", "Bounds", "Ready", "Reason"], detail.pools.map((/** @type {any} */ each) => [
    each.model ?? "", each.role ?? "", each.precision ?? "", bounds(each.min, each.max), `${each.ready ?? 0} of ${each.desired ?? 0}`, each.reason ?? "",
  ]), "No pool exists yet.");

const pods = () =>
  table("Pods", ["Pod", "Phase", "Ready", "Restarts", "Node", "Age", "Reason"], detail.pods.rows.map((/** @type {any} */ each) => [
    each.name, each.phase, `${each.ready}/${each.containers}`, String(each.restarts), each.node || "–", age(each.created), each.reason,
  ]), detail.pods.problem || "No pod runs.");

const events = () =>
  table("Events", ["Age", "Type", "Reason", "Object", "Message"], detail.events.rows.map((/** @type {any} */ each) => [
    age(each.at) + (each.count > 1 ? ` ×${each.count}` : ""), each.type, each.reason, each.object, el("span", { class: "message", text: each.message }),
  ]), detail.events.problem || "No event of the last hour is about this tenant.");

/** @param {import("./store.js").Tenant} row */
function secrets(row) {
  const { names, secret, problem: why } = detail.keys;
  const text = why || (row.needsKey ? `The Secret ${secret} has no key. Create one: kubectl tts keygen --tenant ${row.name} -n ${row.namespace}` : "Callers need no key.");
  const list = names.length
    ? el("ul", { class: "chips" }, ...names.map((/** @type {string} */ name) => el("li", { text: name })))
    : el("p", { class: "help", text });
  return el("section", { class: "card" }, el("h2", { text: "API keys" }), list,
    names.length ? el("p", { class: "help", text: `Names of the entries of Secret ${secret}. It holds hashes; the console shows neither these nor a key.` }) : null);
}

/** @param {import("./store.js").Tenant} row */
function playground(row) {
  const key = keyOf(row);
  const field = /** @type {HTMLInputElement} */ (el("input", { id: "key", type: "password", autocomplete: "off", spellcheck: "false", "aria-describedby": "key-help" }));
  field.value = keys.get(key) ?? "";
  field.addEventListener("input", () => keys.set(key, field.value.trim()));
  const text = /** @type {HTMLTextAreaElement} */ (el("textarea", { id: "text", rows: "2", dir: "auto" }, "Good morning! This is how this tenant sounds."));
  const voice = /** @type {HTMLSelectElement} */ (el("select", { id: "voice" }));
  const names = row.models.flatMap((model) => (store.models.find((each) => each.name === model)?.voices ?? []).map((each) => [model, each.name]));
  voice.append(new Option("Automatic", "\n"), ...names.map(([model, name]) => new Option(row.models.length > 1 ? `${name} (${model})` : name, `${model}\n${name}`)));
  const said = el("p", { id: "said", class: "help", role: "status" });
  const begin = async () => {
    const [model, name] = voice.value.split("\n");
    said.textContent = "Requesting…";
    said.className = "help";
    try {
      const whole = await play(key, { text: text.value, model: model || row.models[0] || "", voice: name ?? "" });
      said.textContent = whole ? "Played." : "Stopped.";
    } catch (error) {
      said.textContent = explained(error);
      said.className = "todo bad";
    }
  };
  const form = el("form", { onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); void begin(); } },
    el("div", { class: "field" }, el("label", { for: "text", text: "Text" }), text),
    el("div", { class: "fields" },
      el("div", { class: "field" }, el("label", { for: "voice", text: "Voice" }), voice),
      row.needsKey && el("div", { class: "field" }, el("label", { for: "key", text: "API key or access token" }), field,
        el("p", { class: "help", id: "key-help", text: "Kept in the memory of this page only." }))),
    el("p", { class: "buttons" }, el("button", { class: "primary", id: "speak", text: "Speak" }),
      el("button", { type: "button", id: "stop", text: "Stop", onclick: stop }),
      el("a", { class: "button", href: `speak/${encodeURIComponent(row.namespace)}/${encodeURIComponent(row.name)}/`, target: "_blank", rel: "noopener", text: "Whole playground ↗" })),
    said);
  return el("section", { id: "speech", class: "card" }, el("h2", { text: "Playground" }),
    el("p", { class: "help", text: "Speaks through the API server, with your own kubeconfig." }), form);
}
