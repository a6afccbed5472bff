// Requests to the server and their answers, without the page and without audio output.

/**
 * Values chosen in the form; the server decides where a name is empty.
 * @typedef {{text: string, model: string, language: string, voice: string, precision: string, speed: number}} Choice
 * @typedef {{path: string, accept: string | null, body: Record<string, unknown>}} Call
 * @typedef {{id: string, languages: string[], precisions: string[], root: string}} Model
 * @typedef {{id: string, name: string, model: string, languages: string[]}} Voice
 * @typedef {{limit: number, remaining: number, resets_after_seconds: number}} Limit
 */

/** A request that failed, with what a person needs to act on it. */
export class Refusal extends Error {
  /**
   * @param {number} status 0: no answer
   * @param {string} message
   * @param {{param?: string | null, limit?: string, resetsAt?: Date | null, requestId?: string}} more
   */
  constructor(status, message, more = {}) {
    super(message);
    this.status = status;
    this.param = more.param ?? null;
    this.limit = more.limit ?? "";
    this.resetsAt = more.resetsAt ?? null;
    this.requestId = more.requestId ?? "";
  }
}

/**
 * The request for a choice: OpenAI's route where it has every field, else the server's own.
 * @param {Choice} choice
 * @param {string} format
 * @returns {Call}
 */
export function call(choice, format) {
  const speed = choice.speed === 1 ? {} : { speed: choice.speed };
  if (choice.model && choice.voice && !choice.language && !choice.precision) {
    const body = { model: choice.model, voice: choice.voice, input: choice.text, response_format: format, ...speed };
    return { path: "v1/audio/speech", accept: null, body };
  }
  const body = {
    text: choice.text,
    ...(choice.model && { model: choice.model }),
    ...(choice.voice && { voice: choice.voice }),
    ...(choice.language && { language: choice.language }),
    format,
    ...speed,
    ...(choice.precision && { options: { precision: choice.precision } }),
  };
  return { path: "v1/tts/synthesize", accept: "audio/*", body };
}

/** Where callers reach the server: a page that somebody else serves says so, as `kubectl tts console` does. */
const endpoint = () =>
  document.querySelector('meta[name="endpoint"]')?.getAttribute("content") || document.baseURI;

/**
 * The same request as a shell command. It names the key as a variable of that shell and never contains it.
 * @param {Choice} choice
 * @param {boolean} needsKey
 */
export function curl(choice, needsKey) {
  const { path, accept, body } = call(choice, "mp3");
  return [
    `curl ${quoted(new URL(path, endpoint()).href)}`,
    ...(needsKey ? ['  -H "Authorization: Bearer $TTS_API_KEY"'] : []),
    "  -H 'Content-Type: application/json'",
    ...(accept ? [`  -H ${quoted(`Accept: ${accept}`)}`] : []),
    `  -d ${quoted(JSON.stringify(body))}`,
    "  -o speech.mp3",
  ].join(" \\\n");
}

/**
 * Speech as raw PCM; aborting the signal closes the connection, which stops the synthesis too.
 * @param {Choice} choice
 * @param {string} key
 * @param {AbortSignal} signal
 * @param {string} below address below which the server's routes are; empty for that of the page
 */
export async function speak(choice, key, signal, below = "") {
  const { path, accept, body } = call(choice, "pcm");
  const headers = { "Content-Type": "application/json", ...(accept && { Accept: accept }) };
  return answered(below + path, key, { method: "POST", headers, body: JSON.stringify(body), signal });
}

/**
 * Parts of a response as they arrive. Throws a `Refusal` for a response that is cut.
 * @param {Response} reply
 * @param {AbortSignal} signal
 */
export async function* parts(reply, signal) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (reply.body).getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      if (signal.aborted) throw error;
      const requestId = reply.headers.get("X-Request-Id") ?? "";
      throw new Refusal(0, "The connection was lost: the audio is incomplete.", { requestId });
    });
    if (done) return;
    yield value;
  }
}

/**
 * @param {string} path
 * @param {string} key
 */
export async function read(path, key) {
  return (await answered(path, key, {})).json();
}

/**
 * @param {string} path
 * @param {string} key
 * @param {RequestInit} options
 */
async function answered(path, key, options) {
  /** @type {Response} */
  let response;
  try {
    const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    // A header cannot hold every character that a person may paste into the field.
    if (/[^\x20-\x7e]/.test(key)) throw new Refusal(401, "An API key has ASCII letters, digits and signs only.");
    throw new Refusal(0, "The server did not answer. Is it running, and are you connected to it?");
  }
  if (response.ok) return response;
  const { error = {} } = await response.json().catch(() => ({}));
  const seconds = Number(response.headers.get("Retry-After") ?? "");
  const later = seconds ? new Date(Date.now() + seconds * 1000) : null;
  throw new Refusal(response.status, error.message ?? response.statusText, {
    param: error.param,
    limit: error.limit,
    resetsAt: later ?? (error.resets_at ? new Date(error.resets_at) : null), // the clocks of server and browser may differ
    requestId: error.request_id ?? response.headers.get("X-Request-Id") ?? "",
  });
}

/** @param {string} text */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
