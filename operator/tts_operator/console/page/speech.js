// Speaks through the API server's service proxy, with the playground's own client and player. Keys stay in memory.

import { Refusal, parts, speak } from "./api.js";
import { Player, Samples } from "./sound.js";

/** Keys that the person typed, by tenant. @type {Map<string, string>} */
export const keys = new Map();

/** @type {{player: Player, hangUp: AbortController} | null} */ let playing = null;

export function stop() {
  playing?.hangUp.abort();
  playing?.player.stop();
  playing = null;
}

/**
 * Call this from a click or a key press. Returns once everything is played; throws a `Refusal`.
 * @param {string} tenant namespace/name
 * @param {{text: string, model: string, voice: string}} what
 * @returns {Promise<boolean>} whether it was played to its end
 */
export async function play(tenant, what) {
  stop();
  const mine = (playing = { player: await Player.begin(), hangUp: new AbortController() });
  const { player, hangUp } = mine;
  const below = `speak/${tenant.split("/").map(encodeURIComponent).join("/")}/`;
  try {
    const choice = { ...what, language: "", precision: "", speed: 1 };
    const reply = await speak(choice, keys.get(tenant) ?? "", hangUp.signal, below);
    const whole = new Samples();
    for await (const part of parts(reply, hangUp.signal)) player.add(whole.take(part));
    await new Promise((resolve) => setTimeout(resolve, player.left * 1000));
    return playing === mine;
  } catch (error) {
    if (hangUp.signal.aborted) return false;
    if (playing === mine) stop();
    throw error;
  }
}

/** @param {unknown} error */
export function explained(error) {
  if (!(error instanceof Refusal)) return `The browser cannot play it: ${error}`;
  if (error.status === 401) return `${error.message} Type an API key of this tenant; it stays in the memory of this page.`;
  return error.message;
}
