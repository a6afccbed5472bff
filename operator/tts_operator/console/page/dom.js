// Builds elements. Text is only ever text: names and messages of the cluster are never parsed as HTML.

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @returns {T}
 */
export const the = (id) => /** @type {T} */ (document.getElementById(id));

/**
 * @param {string} tag
 * @param {Record<string, unknown>} attributes `class`, `text`, handlers such as `onclick`, and plain attributes
 * @param {(Node | string | null | undefined | false)[]} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = String(value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Sets text without touching the page where nothing changes.
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {Element} element @param {string} name @param {string} value */
export function put(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/**
 * @param {string} caption
 * @param {string[]} columns
 * @param {(string | Node)[][]} rows
 * @param {string} none shown in place of a table without rows
 */
export function table(caption, columns, rows, none) {
  const heading = el("h2", { text: caption });
  if (!rows.length) return el("section", { class: "card" }, heading, el("p", { class: "help", text: none }));
  const body = rows.map((cells) =>
    el("tr", {}, ...cells.map((cell, at) => el("td", { "data-label": columns[at] }, cell))),
  );
  const head = el("tr", {}, ...columns.map((text) => el("th", { scope: "col", text })));
  return el("section", { class: "card" }, heading,
    el("div", { class: "wide", tabindex: "0", role: "group", "aria-label": caption },
      el("table", {}, el("thead", {}, head), el("tbody", {}, ...body))));
}
