// Plays raw PCM of /v1/audio/speech without gaps while the rest arrives.

export const RATE_HZ = 24_000;
const LEAD_SECONDS = 0.08;

/** Turns bytes, cut anywhere, into whole 16-bit samples. */
export class Samples {
  #odd = new Uint8Array(0);

  /**
   * @param {Uint8Array} bytes
   * @returns {Int16Array} the complete samples
   */
  take(bytes) {
    const all = new Uint8Array(this.#odd.length + bytes.length);
    all.set(this.#odd);
    all.set(bytes, this.#odd.length);
    const whole = all.length & ~1;
    this.#odd = all.slice(whole);
    const view = new DataView(all.buffer, 0, whole);
    return Int16Array.from({ length: whole / 2 }, (_, index) => view.getInt16(2 * index, true));
  }
}

/** Plays one response. Parts follow each other without a gap; a part that arrives late leaves silence before it. */
export class Player {
  #context;
  #begun = 0;
  #next = 0;
  #late = 0;
  #seconds = 0;

  /** @param {AudioContext} context */
  constructor(context) {
    this.#context = context;
  }

  /** Call this from a key press or a click: browsers allow audio only then. */
  static async begin() {
    const context = new AudioContext({ sampleRate: RATE_HZ });
    await context.resume();
    return new Player(context);
  }

  /** @param {Int16Array} samples */
  add(samples) {
    const buffer = this.#context.createBuffer(1, samples.length, RATE_HZ);
    buffer.copyToChannel(Float32Array.from(samples, (sample) => sample / 32768), 0);
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#context.destination);
    const now = this.#context.currentTime;
    if (!this.#next) this.#begun = this.#next = now + LEAD_SECONDS;
    if (this.#next < now) {
      this.#late += now + LEAD_SECONDS - this.#next;
      this.#next = now + LEAD_SECONDS;
    }
    source.start(this.#next);
    this.#next += buffer.duration;
    this.#seconds += buffer.duration;
  }

  /** Seconds played so far. */
  get heard() {
    const heard = this.#context.currentTime - this.#begun - this.#late;
    return this.#next ? Math.min(Math.max(heard, 0), this.#seconds) : 0;
  }

  /** Seconds until everything that has arrived is played. */
  get left() {
    return Math.max(this.#next - this.#context.currentTime, 0);
  }

  /** Stop at once; calling it again does nothing. */
  stop() {
    void this.#context.close();
  }
}

/**
 * @param {Int16Array[]} parts
 * @returns {Blob} a WAV file
 */
export function wav(parts) {
  const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const header = new DataView(new ArrayBuffer(44));
  const name = (/** @type {number} */ at, /** @type {string} */ text) =>
    [...text].forEach((letter, index) => header.setUint8(at + index, letter.charCodeAt(0)));
  name(0, "RIFF");
  header.setUint32(4, 36 + bytes, true);
  name(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // mono
  header.setUint32(24, RATE_HZ, true);
  header.setUint32(28, RATE_HZ * 2, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  name(36, "data");
  header.setUint32(40, bytes, true);
  return new Blob([header, ...parts.map((part) => new Uint8Array(part.buffer))], { type: "audio/wav" });
}
