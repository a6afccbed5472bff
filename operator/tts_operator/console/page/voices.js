// The catalogue of voices. A play button speaks through a tenant that lists the model.

import { el, the } from "./dom.js";
import { explained, keys, play, stop } from "./speech.js";
import { keyOf, store } from "./store.js";

const page = the("voices");
const SAMPLES = /** @type {Record<string, string>} */ ({
  de: "Guten Tag! So klinge ich.", en: "Hello! This is how I sound.", es: "¡Hola! Así es como sueno.", fr: "Bonjour ! Voici ma voix.",
  it: "Ciao! Ecco la mia voce.", ja: "こんにちは。これが私の声です。", ko: "안녕하세요. 제 목소리입니다.", nl: "Hallo! Zo klink ik.",
  pl: "Dzień dobry! Tak brzmię.", pt: "Olá! É assim que eu falo.", ru: "Здравствуйте! Так я звучу.", zh: "你好！这是我的声音。",
});
let built = "";
/** Tenant by model that the person chose. @type {Map<string, string>} */ const through = new Map();
/** @type {HTMLButtonElement | null} */ let sounding = null;

export function update() {
  if (page.hidden) return;
  const tenants = [...store.tenants.values()].filter((row) => row.ready === "True" && !row.suspended && row.serving > 0);
  const now = JSON.stringify([store.models, tenants.map((row) => [keyOf(row), row.models, row.needsKey]), store.synced]);
  if (now === built) return;
  built = now;
  stop();
  const said = el("p", { id: "heard", role: "status", class: "help", text: "A play button speaks through a ready tenant of yours that lists the model." });
  const cards = store.models.map((model) => card(model, tenants.filter((row) => row.models.includes(model.name)), said));
  const none = store.synced ? "No model is published here, or you may not list models." : "Reading models…";
  page.replaceChildren(el("h2", { class: "page-title", text: "Voices" }), said, ...(cards.length ? cards : [el("p", { class: "help", text: none })]));
}

/**
 * @param {import("./store.js").Model} model
 * @param {import("./store.js").Tenant[]} tenants
 * @param {HTMLElement} said
 */
function card(model, tenants, said) {
  const select = /** @type {HTMLSelectElement} */ (el("select", { "aria-label": `Tenant that speaks ${model.name}` }));
  select.append(...tenants.map((row) => new Option(keyOf(row), keyOf(row))));
  select.value = through.get(model.name) ?? select.value;
  const key = /** @type {HTMLInputElement} */ (el("input", { type: "password", autocomplete: "off", spellcheck: "false", placeholder: "API key, kept in memory", "aria-label": `API key of the tenant that speaks ${model.name}` }));
  const choose = () => {
    const row = tenants.find((each) => keyOf(each) === select.value);
    through.set(model.name, select.value);
    key.hidden = !row?.needsKey;
    key.value = keys.get(select.value) ?? "";
  };
  select.addEventListener("change", choose);
  key.addEventListener("input", () => keys.set(select.value, key.value.trim()));
  choose();
  const buttons = model.voices.map((voice) => {
    const languages = voice.languages.length ? voice.languages : model.languages;
    const button = /** @type {HTMLButtonElement} */ (el("button", { type: "button", class: "play", disabled: !tenants.length, "aria-label": `Play ${voice.name}`, text: "▶" }));
    button.addEventListener("click", () => void press(button, select.value, { text: sample(languages), model: model.name, voice: voice.name }, said));
    const shown = languages.slice(0, 6).join(", ") + (languages.length > 6 ? ` and ${languages.length - 6} more` : "");
    return el("li", {}, button, el("span", {}, el("b", { text: voice.name, title: voice.name }), el("small", { text: shown, title: languages.join(", ") })));
  });
  const way = tenants.length ? el("div", { class: "through" }, el("span", { class: "help", text: "through" }), select, key)
    : el("p", { class: "help", text: "No ready tenant that you may list has this model." });
  return el("section", { class: "card" },
    el("h2", {}, model.name, " ", el("span", { class: `badge ${model.ready === "True" ? "good" : "warn"}`, text: model.ready === "True" ? "Ready" : model.reason })),
    el("p", { class: "help", text: `${model.engine} · ${model.precisions.join(", ")} · ${model.languages.join(", ")}` }), way,
    buttons.length ? el("ul", { class: "voices" }, ...buttons) : el("p", { class: "help", text: "The model lists no voices by name." }));
}

/** @param {string[]} languages */
const sample = (languages) => SAMPLES[languages.map((code) => code.split("-")[0]).find((code) => code in SAMPLES) ?? "en"];

/**
 * @param {HTMLButtonElement} button
 * @param {string} tenant
 * @param {{text: string, model: string, voice: string}} what
 * @param {HTMLElement} said
 */
async function press(button, tenant, what, said) {
  const again = sounding === button;
  if (sounding) sounding.textContent = "▶";
  sounding = null;
  stop();
  if (again) return;
  sounding = button;
  button.textContent = "■";
  said.className = "help";
  said.textContent = `${what.voice} of ${what.model}, through ${tenant}…`;
  try {
    if (await play(tenant, what)) said.textContent = `Played ${what.voice}.`;
  } catch (error) {
    said.className = "todo bad";
    said.textContent = explained(error);
  }
  if (sounding === button) {
    button.textContent = "▶";
    sounding = null;
  }
}
