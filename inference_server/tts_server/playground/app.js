// The page: the form, its requests, and their results.

import { Refusal, curl, parts, read, speak } from "./api.js";
import { Player, Samples, wav } from "./sound.js";
import { Wave } from "./wave.js";

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @returns {T}
 */
const the = (id) => /** @type {T} */ (document.getElementById(id));

/** @type {HTMLInputElement} */ const key = the("key");
/** @type {HTMLTextAreaElement} */ const text = the("text");
/** @type {HTMLSelectElement} */ const model = the("model");
/** @type {HTMLSelectElement} */ const language = the("language");
/** @type {HTMLSelectElement} */ const voice = the("voice");
/** @type {HTMLSelectElement} */ const precision = the("precision");
/** @type {HTMLInputElement} */ const speed = the("speed");
/** @type {HTMLButtonElement} */ const stopButton = the("stop");
/** @type {HTMLAnchorElement} */ const download = the("download");

/** Elements by the server's `param`. */
const FIELDS = { input: text, text, model, voice, language, speed, "options.precision": precision, options: precision };
const AUTOMATIC = "Automatic";
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
const wave = new Wave(the("wave"));

/** @type {import("./api.js").Model[]} */ let models = [];
/** @type {import("./api.js").Voice[]} */ let voices = [];
/** @type {AbortController | null} */ let current = null;
/** Number of loads so far: if an answer overtakes another, that of the latest load counts. */
let loads = 0;
/** @type {Player | null} */ let player = null;

/** The key without blanks around it, which pasting often adds. */
const secret = () => key.value.trim();

/** @returns {import("./api.js").Choice} */
function choice() {
  const names = { model: model.value, language: language.value, voice: voice.value, precision: precision.value };
  return { text: text.value, ...names, speed: Number(speed.value) };
}

// Choices

/** @returns {Promise<boolean>} whether the choices are loaded */
async function load() {
  const mine = (loads += 1);
  say("Loading…");
  try {
    const listed = await read("v1/models", secret()); // alone: in parallel, a wrong key would count as several failures
    const [heard] = await Promise.all([read("v1/audio/voices", secret()), showQuota()]);
    if (mine !== loads) return models.length > 0;
    models = listed.data;
    voices = heard.data;
    hideError();
    the("tenant").textContent = models[0] ? `Tenant ${/** @type {any} */ (models[0]).owned_by}` : "";
    fill(model, models.map(({ id }) => [id, id]), models[0]?.id ?? "");
    offer(voices.some(({ id }) => id === "alloy") ? "alloy" : "");
    say("Ready.");
  } catch (error) {
    if (mine === loads) showError(error, "Not ready.");
  }
  showCommand();
  return models.length > 0;
}

/** @param {string} wished the voice to begin with */
function offer(wished = voice.value) {
  const chosen = models.find(({ id }) => id === model.value);
  const spoken = new Intl.DisplayNames(navigator.languages, { type: "language" });
  const languages = [...new Set(chosen ? chosen.languages : models.flatMap((each) => each.languages))];
  const named = languages.map((code) => [code, nameOf(spoken, code)]).sort((a, b) => a[1].localeCompare(b[1]));
  fill(language, named, language.value);
  const fitting = voices.filter(
    (each) =>
      (!chosen || each.model === chosen.root) &&
      (!language.value || !each.languages.length || each.languages.some((code) => fits(code, language.value))),
  );
  const aliases = fitting.filter(({ id, name }) => id !== name);
  const plain = fitting.filter(({ id, name }) => id === name);
  fill(voice, [...aliases.map(({ id, name }) => [id, `${id} (${name})`]), ...plain.map(({ id }) => [id, id])], wished);
  const precisions = chosen ? chosen.precisions : [];
  fill(precision, precisions.map((name) => [name, name]), precision.value);
}

/**
 * Whether one language is the other or a variety of it: en-GB and en.
 * @param {string} one
 * @param {string} other
 */
const fits = (one, other) => `${one}-`.startsWith(`${other}-`) || `${other}-`.startsWith(`${one}-`);

/**
 * @param {Intl.DisplayNames} names
 * @param {string} code
 */
function nameOf(names, code) {
  try {
    return names.of(code) ?? code;
  } catch {
    return code; // not a language tag
  }
}

/**
 * @param {HTMLSelectElement} select
 * @param {string[][]} options value and name
 * @param {string} wished
 */
function fill(select, options, wished) {
  select.replaceChildren(new Option(AUTOMATIC, ""), ...options.map(([value, name]) => new Option(name, value)));
  select.value = options.some(([value]) => value === wished) ? wished : "";
}

// Speaking

async function begin() {
  end();
  const hangUp = (current = new AbortController());
  /** @type {Int16Array[]} */ const came = [];
  if (!models.length && !(await load()) && current === hangUp) end();
  if (hangUp.signal.aborted) return;
  for (const id of ["first", "total", "length", "engine"]) the(id).textContent = "–";
  the("quality").hidden = true;
  hideError();
  offerDownload([]);
  wave.clear();
  stopButton.disabled = false;
  say("Requesting…");
  try {
    const playing = await Player.begin();
    if (hangUp.signal.aborted) playing.stop();
    hangUp.signal.throwIfAborted();
    player = playing;
    const begun = performance.now();
    const reply = await speak(choice(), secret(), hangUp.signal);
    showSpeaker(reply.headers);
    await receive(parts(reply, hangUp.signal), came, playing, begun);
    the("total").textContent = inSeconds(performance.now() - begun);
    await untilHeard(playing, hangUp.signal);
    say(`Done: ${wave.seconds.toFixed(1)} seconds of speech.`);
  } catch (error) {
    if (current && current !== hangUp) return; // another request has started
    if (hangUp.signal.aborted) say("Stopped.");
    else showError(error, came.length ? "Audio incomplete." : "Request failed.");
  }
  end();
  offerDownload(came);
  wave.draw(Infinity);
  the("wave").setAttribute("aria-label", `Waveform of ${wave.seconds.toFixed(1)} seconds of speech.`);
  await showQuota().catch(() => {}); // the error is shown already
}

/**
 * @param {AsyncIterable<Uint8Array>} coming
 * @param {Int16Array[]} came what has arrived, for the download
 * @param {Player} playing
 * @param {number} begun
 */
async function receive(coming, came, playing, begun) {
  const samples = new Samples();
  for await (const bytes of coming) {
    const part = samples.take(bytes);
    if (!part.length) continue;
    if (!came.length) {
      the("first").textContent = inSeconds(performance.now() - begun);
      say("Speaking…");
      follow(playing);
    }
    came.push(part);
    playing.add(part);
    wave.add(part);
    the("length").textContent = `${wave.seconds.toFixed(2)} s`;
    if (calm.matches) wave.draw(0);
  }
}

/**
 * Show how much was played. With reduced motion, the waveform only grows.
 * @param {Player} playing
 */
function follow(playing) {
  if (player !== playing || calm.matches) return;
  wave.draw(playing.heard);
  requestAnimationFrame(() => follow(playing));
}

/**
 * @param {Player} playing
 * @param {AbortSignal} signal
 */
async function untilHeard(playing, signal) {
  while (playing.left > 0) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, Math.min(playing.left * 1000, 100)));
  }
  signal.throwIfAborted();
}

/** Close the connection, which stops the server too. */
function end() {
  current?.abort();
  player?.stop();
  current = player = null;
  stopButton.disabled = true;
}

// Output

/** @param {string} words */
function say(words) {
  the("status").textContent = words;
}

/** @param {number} milliseconds */
function inSeconds(milliseconds) {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(2)} s`;
}

/** @param {Headers} headers */
function showSpeaker(headers) {
  const status = headers.get("X-TTS-Status") ?? "ok";
  the("engine").textContent = headers.get("X-TTS-Engine") ?? "";
  const quality = the("quality");
  quality.textContent = status === "degraded" ? "degraded: it stands in for another model" : status;
  quality.className = `badge ${status === "degraded" ? "degraded" : "ok"}`;
  quality.hidden = false;
}

/** @param {Int16Array[]} parts */
function offerDownload(parts) {
  if (download.href) URL.revokeObjectURL(download.href);
  download.removeAttribute("href");
  download.setAttribute("aria-disabled", String(!parts.length));
  if (!parts.length) return;
  download.href = URL.createObjectURL(wav(parts));
  download.download = "speech.wav";
}

async function showQuota() {
  const { limits } = await read("v1/usage", secret());
  const entries = /** @type {[string, import("./api.js").Limit][]} */ (Object.entries(limits));
  the("quota").replaceChildren(...entries.map(([name, limit]) => quotaItem(name, limit)));
  the("no-quota").hidden = entries.length > 0;
  the("quota-left").hidden = false;
}

/**
 * @param {string} name
 * @param {import("./api.js").Limit} limit
 */
function quotaItem(name, limit) {
  const words = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  const line = document.createElement("div");
  const label = document.createElement("span");
  const left = document.createElement("span");
  const bar = document.createElement("progress");
  label.textContent = words.charAt(0).toUpperCase() + words.slice(1);
  const later = limit.remaining ? "" : `, more ${when(limit.resets_after_seconds)}`;
  left.textContent = `${limit.remaining.toLocaleString()} of ${limit.limit.toLocaleString()}${later}`;
  line.append(label, left);
  bar.max = limit.limit;
  bar.value = limit.remaining;
  bar.setAttribute("aria-label", `${words}: left`);
  const item = document.createElement("li");
  item.append(line, bar);
  return item;
}

function showCommand() {
  the("curl").textContent = curl(choice(), !the("key-field").hidden);
  the("count").textContent = `${[...text.value].length.toLocaleString()} characters`;
  the("speed-shown").textContent = `${Number(speed.value)}×`;
}

/** @param {number} seconds from now */
function when(seconds) {
  const clock = new Date(Date.now() + seconds * 1000).toLocaleTimeString();
  return seconds < 120 ? `in ${Math.ceil(seconds)} s, at ${clock}` : `at ${clock}`;
}

/**
 * @param {unknown} error
 * @param {string} status
 */
function showError(error, status = "Request failed.") {
  const refusal = error instanceof Refusal ? error : new Refusal(0, "Unexpected error in this page; see the console of the browser.");
  if (refusal !== error) console.error(error);
  say(status);
  the("quality").hidden = true; // it would describe an earlier request
  the("error-title").textContent = titleOf(refusal);
  const keyless = refusal.status === 401 && !secret();
  the("error-message").textContent = keyless ? "Enter it above." : refusal.message;
  the("error-details").textContent = [
    refusal.resetsAt ? `Try again ${when((refusal.resetsAt.getTime() - Date.now()) / 1000)}.` : "",
    refusal.param ? `Field: ${refusal.param}.` : "",
    refusal.requestId ? `Request ${refusal.requestId}, if you ask for help.` : "",
  ].filter(Boolean).join(" ");
  the("error").hidden = false;
  if (refusal.status === 401) the("key-field").hidden = false;
  const field = refusal.status === 401 ? key : FIELDS[/** @type {keyof typeof FIELDS} */ (refusal.param ?? "")];
  field?.setAttribute("aria-invalid", "true");
  (field ?? the("error")).focus();
}

/** @param {Refusal} refusal */
function titleOf({ status, limit }) {
  if (status === 401) return secret() ? "This key or token was not accepted" : "An API key or access token is needed";
  if (status === 429) return limit ? `The limit ${limit} is used up` : "Too many failed attempts";
  if (status === 503) return "Temporarily unavailable";
  if (status >= 500) return `Synthesis failed (${status})`;
  return status ? `Request refused (${status})` : "No answer";
}

function hideError() {
  the("error").hidden = true;
  for (const field of [key, ...Object.values(FIELDS)]) field.removeAttribute("aria-invalid");
}

// Input

the("form").addEventListener("submit", (event) => {
  event.preventDefault();
  void begin();
});
stopButton.addEventListener("click", end);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    if (!event.repeat) void begin();
  } else if (event.key === "Escape") end();
});
model.addEventListener("change", () => offer());
language.addEventListener("change", () => offer());
key.addEventListener("change", () => void load());
the("form").addEventListener("input", showCommand);
the("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(the("curl").textContent ?? "");
    say("Command copied.");
  } catch {
    // Browsers let a page copy over https and on localhost only.
    getSelection()?.selectAllChildren(the("curl"));
    say("Command selected: copy it with Ctrl+C.");
  }
});
for (const change of ["(prefers-color-scheme: dark)", "(prefers-reduced-motion: reduce)"])
  window.matchMedia(change).addEventListener("change", () => wave.draw(player?.heard ?? Infinity));
new ResizeObserver(() => wave.draw(player?.heard ?? Infinity)).observe(the("wave"));

void load();
