// Rollouts of changes of models and of the operator: who holds places, who waits, and how far models are.

import { el, table, the } from "./dom.js";
import { keyOf, store } from "./store.js";

const page = the("rollout");
let built = "";

/** @param {{namespace: string, name: string}} tenant */
const link = (tenant) => el("a", { href: `#/tenant/${encodeURIComponent(tenant.namespace)}/${encodeURIComponent(tenant.name)}`, text: keyOf(tenant) });

export function update() {
  const rolling = store.rollouts;
  const waiting = [...store.tenants.values()].filter((row) => row.queued).sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  const count = the("rolling");
  const places = new Set(rolling.filter((each) => each.state === "place").map((each) => `${each.namespace}/${each.tenant}`)).size;
  count.hidden = !rolling.length && !waiting.length;
  count.textContent = String(places + waiting.length);
  if (page.hidden) return;
  const now = JSON.stringify([rolling, waiting.map((row) => [keyOf(row), row.queued, row.behindWhy]), store.models, store.notices]);
  if (now === built) return;
  built = now;
  const words = /** @type {Record<string, [string, string]>} */ ({ place: ["good", "holds a place"], stalled: ["warn", "stalled, holds none"], failed: ["bad", "failed, holds none"] });
  page.replaceChildren(
    el("h2", { class: "page-title", text: "Rollout" }),
    el("p", { class: "help", text: `A change of a model or of the operator reaches a few tenants at a time, and a namespace holds at most half of the places. ${places} ${places === 1 ? "tenant holds" : "tenants hold"} a place; ${waiting.length} ${waiting.length === 1 ? "waits" : "wait"}.` }),
    table("Under way", ["Tenant", "Pool", "Change of", "Pods", "Place"], rolling.map((each) => [
      link({ namespace: each.namespace, name: each.tenant }), each.pool, each.change, `${each.updated} of ${each.replicas} up to date`,
      el("span", { class: `badge ${(words[each.state] ?? ["", ""])[0]}`, text: (words[each.state] ?? ["", each.state])[1] }),
    ]), "No pool rolls out a change of a model or of the operator."),
    table("Waiting", ["Tenant", "Reason", "What to do"], waiting.map((row) => [link(row), row.queued, el("span", { class: "message", text: row.behindWhy || row.message })]), "No tenant waits."),
    table("Models", ["Model", "Mode", "Tenants that run the last change", "State", "What to do"], store.models.map((each) => [
      each.name, each.mode, each.tenants === null ? "–" : `${each.updated ?? 0} of ${each.tenants}`,
      el("span", { class: `badge ${each.ready === "True" ? "good" : each.ready === "False" ? "bad" : "warn"}`, text: each.ready === "True" ? "Ready" : each.reason }),
      el("span", { class: "message", text: each.message }),
    ]), "No model is published, or you may not list models."),
  );
}
