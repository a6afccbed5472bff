// Draws the waveform as bars, played ones in the accent colour.

import { RATE_HZ } from "./sound.js";

const PER_PEAK = RATE_HZ / 100;
const BAR = 3;
const GAP = 2;
const SHORTEST_SECONDS = 2;

export class Wave {
  #canvas;
  /** @type {number[]} peak of each 10 ms, 0 to 1 */
  #peaks = [];
  #samples = 0;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
  }

  clear() {
    this.#peaks = [];
    this.#samples = 0;
    this.draw(0);
  }

  /** @param {Int16Array} samples */
  add(samples) {
    for (const sample of samples) {
      const at = Math.floor(this.#samples / PER_PEAK);
      this.#peaks[at] = Math.max(this.#peaks[at] ?? 0, Math.abs(sample) / 32768);
      this.#samples += 1;
    }
  }

  get seconds() {
    return this.#samples / RATE_HZ;
  }

  /** @param {number} heard seconds */
  draw(heard) {
    const canvas = this.#canvas;
    const { width, height } = canvas.getBoundingClientRect();
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale); // clears it, too
    canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    if (!pen) return;
    pen.scale(scale, scale);
    const style = getComputedStyle(canvas);
    const bars = Math.max(Math.floor((width - GAP) / (BAR + GAP)), 1);
    const shown = Math.max(this.seconds, SHORTEST_SECONDS);
    const loudest = this.#peaks.reduce((most, peak) => Math.max(most, peak), 0.1);
    for (let bar = 0; bar < bars; bar += 1) {
      const from = (bar / bars) * shown;
      const peak = this.#loudest(from, ((bar + 1) / bars) * shown);
      const tall = Math.max((peak / loudest) * (height - 12), 2);
      const colour = from >= this.seconds ? "--line" : from < heard ? "--accent" : "--unplayed";
      pen.fillStyle = style.getPropertyValue(colour);
      pen.fillRect(GAP + bar * (BAR + GAP), (height - tall) / 2, BAR, tall);
    }
  }

  /**
   * @param {number} from seconds
   * @param {number} to seconds
   */
  #loudest(from, to) {
    const first = Math.floor(from * 100);
    return this.#peaks.slice(first, Math.max(Math.ceil(to * 100), first + 1)).reduce((a, b) => Math.max(a, b), 0);
  }
}
