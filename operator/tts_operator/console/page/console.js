// The page: what is told by the process, which part is shown, and the keyboard.

import { el, say, the } from "./dom.js";
import * as fleet from "./fleet.js";
import * as rollout from "./rollout.js";
import { stop } from "./speech.js";
import { listen, onChange, store } from "./store.js";
import * as tenant from "./tenant.js";
import * as voices from "./voices.js";

const PARTS = ["fleet", "tenant", "rollout", "voices"];

function route() {
  const [, part = "", ...rest] = location.hash.split("/");
  const shown = PARTS.includes(part) ? part : "fleet";
  const before = PARTS.find((name) => !the(name).hidden);
  for (const name of PARTS) the(name).hidden = name !== shown;
  for (const name of ["fleet", "rollout", "voices"]) {
    const current = name === shown || (name === "fleet" && shown === "tenant");
    if (current) the(`to-${name}`).setAttribute("aria-current", "page");
    else the(`to-${name}`).removeAttribute("aria-current");
  }
  document.body.dataset.part = shown;
  if (before !== shown) stop();
  if (shown === "tenant") tenant.show(rest.map(decode).join("/"));
  update();
  document.title = `${shown === "tenant" ? rest.map(decode).join("/") : { fleet: "Fleet", rollout: "Rollout", voices: "Voices" }[shown]} · TTS Fleet`;
  if (before === "tenant" && shown === "fleet") fleet.focusCurrent();
  else if (before && before !== shown) the(shown === "tenant" ? "tenant-title" : "main").focus({ preventScroll: true });
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function update() {
  const link = the("link");
  say(link, !store.connected ? "Not connected" : store.synced ? "Live" : "Reading…");
  link.className = `badge ${!store.connected ? "bad" : store.synced ? "good" : "warn"}`;
  link.title = store.connected ? "" : "The console process does not answer: is `kubectl tts console` still running?";
  const notices = the("notices");
  const told = store.notices.join("\n");
  if (notices.dataset.told !== told) {
    notices.dataset.told = told;
    notices.replaceChildren(...store.notices.map((text) => el("li", { text })));
    notices.hidden = !told;
  }
  if (!the("fleet").hidden) fleet.update();
  rollout.update();
  tenant.update();
  voices.update();
}

document.addEventListener("keydown", (event) => {
  const typing = /** @type {Element} */ (event.target).closest?.("input, textarea, select");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    if (the("fleet").hidden) location.hash = "#/";
    setTimeout(fleet.focusFilter);
  } else if (event.key === "Escape") {
    stop();
    if (event.target === the("filter")) {
      const filter = /** @type {HTMLInputElement} */ (the("filter"));
      if (filter.value) {
        filter.value = "";
        fleet.update();
      } else fleet.focusCurrent();
      event.preventDefault();
    } else if (!typing && !the("tenant").hidden) location.hash = "#/";
    else if (typing) /** @type {HTMLElement} */ (event.target).blur();
  }
});
window.addEventListener("hashchange", route);
document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  the("main").focus();
});

fleet.begin();
onChange(update);
listen();
route();
void fetch("about").then((response) => response.json()).then(({ title }) => {
  the("context").textContent = title;
  the("context").title = title;
}).catch(() => {});
