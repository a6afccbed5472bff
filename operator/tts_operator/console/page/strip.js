// Draws a week of a calendar: seven days by twenty-four hours, darker for more replicas, with a mark at now.

import { DAYS, bounds, clockOf, minuteOfWeek, replicas } from "./times.js";

/**
 * @typedef {[number, number, string, number, number]} Span start, end (minutes of the week), window, bounds
 * @typedef {{zone: string, monday: string, spans: Span[]}} Week
 */

const DAY = 1440;

/** @param {Week} week @param {number} minute */
export const spanAt = (week, minute) => week.spans.find(([start, end]) => start <= minute && minute < end);

/** Parts of a span within one day each. @param {Span} span */
function* byDay([start, end, window, low, high]) {
  for (let from = start; from < end; ) {
    const to = Math.min(end, (Math.floor(from / DAY) + 1) * DAY);
    yield /** @type {Span} */ ([from, to, window, low, high]);
    from = to;
  }
}

/** @param {Week} week */
const most = (week) => Math.max(1, ...week.spans.map((span) => span[4]));

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Week} week
 * @param {Date} now
 */
export function drawStrip(canvas, week, now) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth || 96, height = canvas.clientHeight || 28;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(name);
  const row = height / 7, top = most(week);
  pen.fillStyle = colour("--line");
  for (let day = 0; day < 7; day += 1) pen.fillRect(0, day * row + row / 2 - 0.25, width, 0.5);
  pen.fillStyle = colour("--accent");
  for (const span of week.spans)
    for (const [from, to, , , high] of byDay(span)) {
      if (!high) continue;
      pen.globalAlpha = 0.25 + 0.75 * (high / top);
      const day = Math.floor(from / DAY), left = ((from % DAY) / DAY) * width;
      pen.fillRect(left, day * row + 0.5, Math.max(((to - from) / DAY) * width - 0.5, 0.5), Math.max(row - 1, 1));
    }
  pen.globalAlpha = 1;
  const minute = minuteOfWeek(week.zone, now);
  pen.fillStyle = colour("--mark");
  const left = ((minute % DAY) / DAY) * width, at = Math.floor(minute / DAY) * row;
  pen.fillRect(Math.min(Math.max(left - 1, 0), width - 2), Math.max(at - 1, 0), 2, row + 2);
}

/** Words for those who do not see the strip. @param {Week} week @param {Date} now */
export function words(week, now) {
  const span = spanAt(week, minuteOfWeek(week.zone, now));
  const present = span ? `now ${span[2]} with ${replicas(span[3], span[4])}` : "";
  return `Calendar in ${week.zone}: ${present}.`;
}

/**
 * The large strip of a tenant's page: a table of seven days, whose cells can be read by anybody.
 * @param {Week} week
 * @param {Date} now
 * @param {typeof import("./dom.js").el} el
 */
export function bigStrip(week, now, el) {
  const top = most(week), minute = minuteOfWeek(week.zone, now);
  const days = DAYS.map((name, day) => {
    const parts = week.spans.flatMap((span) => [...byDay(span)]).filter(([from]) => Math.floor(from / DAY) === day);
    const cells = parts.map(([from, to, window, low, high]) => {
      const text = `${window}, ${replicas(low, high)}`;
      const end = to % DAY === 0 ? "24:00" : clockOf(to);
      const level = high ? Math.ceil((4 * high) / top) : 0;
      const part = el("span", { class: `span level-${level}`, title: `${name} ${clockOf(from)}–${end}: ${text}` },
        el("b", { text: bounds(low, high) }), " ", el("i", { text: window }));
      part.style.setProperty("--from", String(from % DAY));
      part.style.setProperty("--length", String(to - from));
      return part;
    });
    const marked = Math.floor(minute / DAY) === day;
    const mark = marked ? el("span", { class: "now", title: `Now: ${name} ${clockOf(minute)}` }) : null;
    if (mark) mark.style.setProperty("--from", String(minute % DAY));
    return el("div", { class: "day", role: "listitem", "aria-label": said(name, parts) },
      el("span", { class: "name", "aria-hidden": "true", text: name }),
      el("span", { class: "spans", "aria-hidden": "true" }, ...cells, mark));
  });
  const hours = [0, 6, 12, 18].map((hour) => {
    const label = el("span", { text: `${String(hour).padStart(2, "0")}:00` });
    label.style.setProperty("--from", String(hour * 60));
    return label;
  });
  return el("div", { class: "week", role: "list", "aria-label": words(week, now) }, ...days,
    el("div", { class: "hours", "aria-hidden": "true" }, ...hours));
}

/** @param {string} name @param {Span[]} parts */
function said(name, parts) {
  const each = parts.map(([from, , window, low, high]) => `from ${clockOf(from)} ${window}, ${replicas(low, high)}`);
  return `${name}: ${each.join("; ")}`;
}
