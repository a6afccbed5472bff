// Times as people read them, in the zone of a tenant's schedule.

const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/** @param {string} zone */
function clock(zone) {
  let format = formats.get(zone);
  if (!format) {
    const options = /** @type {const} */ ({ weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    try {
      format = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone });
    } catch {
      format = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" }); // a zone that this browser lacks
    }
    formats.set(zone, format);
  }
  return format;
}

/** @param {string} zone @param {Date} at @returns {{day: string, hour: number, minute: number}} */
function wall(zone, at) {
  const parts = Object.fromEntries(clock(zone).formatToParts(at).map(({ type, value }) => [type, value]));
  return { day: parts.weekday, hour: Number(parts.hour), minute: Number(parts.minute) };
}

/** Minutes of wall time since Monday at midnight. @param {string} zone @param {Date} at */
export function minuteOfWeek(zone, at) {
  const { day, hour, minute } = wall(zone, at);
  return DAYS.indexOf(day) * 1440 + hour * 60 + minute;
}

/** @param {string} zone @param {string} at */
export function weekdayTime(zone, at) {
  const { day, hour, minute } = wall(zone, new Date(at));
  return `${day} ${pad(hour)}:${pad(minute)}`;
}

/** @param {number} minute of the week */
export const clockOf = (minute) => `${pad(Math.floor((minute % 1440) / 60))}:${pad(minute % 60)}`;
export { DAYS };

/** As `kubectl` writes ages: 45s, 12m, 3h, 6d. @param {string} since @param {number} now */
export function age(since, now = Date.now()) {
  const seconds = Math.max(0, Math.floor((now - Date.parse(since)) / 1000));
  if (Number.isNaN(seconds)) return "–";
  for (const [unit, length] of /** @type {[string, number][]} */ ([["d", 86400], ["h", 3600], ["m", 60]]))
    if (seconds >= 2 * length) return `${Math.floor(seconds / length)}${unit}`;
  return `${seconds}s`;
}

/** @param {number} value */
const pad = (value) => String(value).padStart(2, "0");

/** @param {number} low @param {number} high */
export const replicas = (low, high) => `${bounds(low, high)} ${low === 1 && high === 1 ? "replica" : "replicas"}`;

/** Replica bounds as 3 or 3–6. @param {number | null | undefined} low @param {number | null | undefined} high */
export const bounds = (low, high) => (low === null || low === undefined ? "–" : low === high ? `${low}` : `${low}–${high}`);
