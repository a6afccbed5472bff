// Shows openapi.json: each route with its parameters, body, answers and headers. Text is set, never parsed as HTML.

const METHODS = ["get", "post", "put", "patch", "delete"]; // every GET answers HEAD too

/**
 * @param {string} name
 * @param {Record<string, string>} attributes
 * @param {...(Node | string)} children
 */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A sentence whose parts in backquotes are code. @param {string} text */
const prose = (text) => text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));

/** @param {any} api @param {any} schema */
function resolved(api, schema) {
  const name = schema?.$ref?.split("/").pop();
  return name ? api.components.schemas[name] : (schema ?? {});
}

/** What a person writes there, in a few words. @param {any} api @param {any} schema @returns {string} */
function type(api, schema) {
  const found = resolved(api, schema);
  if (found.enum) return found.enum.map((/** @type {unknown} */ value) => JSON.stringify(value)).join(" | ");
  if ("const" in found) return JSON.stringify(found.const);
  const options = found.anyOf ?? found.oneOf;
  if (options) return options.map((/** @type {any} */ option) => type(api, option)).join(" | ");
  if (found.type === "array") return `list of ${type(api, found.items)}`;
  if (found.type === "object" && found.properties) return `{${Object.keys(found.properties).join(", ")}}`;
  if (found.type === "object" && found.additionalProperties) return `map of ${type(api, found.additionalProperties)}`;
  const least = found.minimum ?? found.minLength;
  const most = found.maximum ?? found.maxLength;
  const unit = found.maxLength === undefined ? "" : " characters";
  return most === undefined ? (found.format ?? found.type ?? "any") : `${found.type}, ${least ?? 0} to ${most}${unit}`;
}

/** @param {string} caption @param {string[]} heads @param {(Node | string)[][][]} rows */
function table(caption, heads, rows) {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  const body = rows.map((cells) => element("tr", {}, ...cells.map((cell) => element("td", {}, ...cell))));
  const made = element("table", {}, element("caption", {}, caption), element("thead", {}, head));
  made.append(element("tbody", {}, ...body));
  return element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption }, made);
}

/** Rows of an object's fields, and of the fields of its objects. @param {any} api @param {any} schema */
function fields(api, schema, prefix = "") {
  const found = resolved(api, schema);
  /** @type {(Node | string)[][][]} */ const rows = [];
  for (const [name, field] of Object.entries(found.properties ?? {})) {
    const text = [field.description, found.required?.includes(name) ? "Required." : ""].filter(Boolean).join(" ");
    rows.push([[element("code", {}, prefix + name)], [type(api, field)], prose(text)]);
    const options = [field, ...(field.anyOf ?? []), field.items].map((option) => resolved(api, option));
    for (const inner of options.filter((option) => option?.properties)) rows.push(...fields(api, inner, `${prefix}${name}.`));
  }
  return rows;
}

/** @param {any} api @param {any} content */
function schemas(api, content) {
  return Object.values(content ?? {}).map(({ schema }) => resolved(api, schema)).filter(({ properties }) => properties);
}

/** @param {any} api @param {string} path @param {string} method @param {any} operation */
function section(api, path, method, operation) {
  const title = element("h2", { id: operation.operationId }, element("span", { class: "method" }, method.toUpperCase()), ` ${path}`);
  const made = element("section", { "aria-labelledby": operation.operationId }, title);
  made.append(element("p", {}, ...prose(operation.description ?? operation.summary)));
  const schemes = (operation.security ?? []).map((/** @type {any} */ one) => Object.keys(one)[0] ?? "none");
  if (schemes.length) made.append(element("p", { class: "help" }, `Credentials: ${schemes.join(" or ")}`));
  if (operation.parameters?.length) {
    const rows = operation.parameters.map((/** @type {any} */ one) => [
      [element("code", {}, one.name)], [one.in], [type(api, one.schema)], prose(one.description ?? ""),
    ]);
    made.append(table("Parameters", ["name", "in", "type", "what"], rows));
  }
  const kinds = Object.keys(operation.requestBody?.content ?? {}).join(" or ");
  const [body] = schemas(api, operation.requestBody?.content);
  if (body) made.append(table(`Body: ${kinds}`, ["field", "type", "what"], fields(api, body)));
  const answers = Object.entries(operation.responses).sort(([one], [other]) => one.localeCompare(other));
  for (const [, answer] of answers) {
    for (const schema of schemas(api, answer.content)) made.append(table("Answer", ["field", "type", "what"], fields(api, schema)));
  }
  const rows = answers.map(([status, answer]) => [
    [element("code", {}, status)],
    prose(answer.description),
    [Object.keys(answer.content ?? {}).join(", ")],
    [Object.keys(answer.headers ?? {}).join(", ")],
  ]);
  made.append(table("Answers", ["status", "what, or the codes of the error", "content", "headers"], rows));
  return made;
}

/** @param {any} api */
function show(api) {
  const list = /** @type {HTMLElement} */ (document.getElementById("routes"));
  const operations = /** @type {HTMLElement} */ (document.getElementById("operations"));
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((name) => name in methods)) {
      const operation = methods[method];
      const link = element("a", { href: `#${operation.operationId}` }, `${method.toUpperCase()} ${path}`);
      list.append(element("li", {}, link));
      operations.append(section(api, path, method, operation));
    }
  }
}

const status = /** @type {HTMLElement} */ (document.getElementById("status"));
try {
  const reply = await fetch("openapi.json");
  if (!reply.ok) throw new Error(`status ${reply.status}`);
  const api = await reply.json();
  show(api);
  status.replaceChildren(...prose(api.info.description));
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
} catch (error) {
  status.textContent = `openapi.json could not be loaded: ${/** @type {Error} */ (error).message}`;
}
