// Shows the OpenAPI document. Text only ever becomes text nodes.
"use strict";

function make(tag, text, ...children) {
  const element = document.createElement(tag);
  if (text) element.append(text);
  element.append(...children);
  return element;
}

function resolve(api, schema) {
  if (!schema || !schema.$ref) return schema || {};
  const name = schema.$ref.split("/").pop();
  return { ...api.components.schemas[name], title: name };
}

function typeOf(api, schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const either = schema.oneOf || schema.anyOf;
  if (either) return either.map((one) => typeOf(api, one)).join(" or ");
  if (schema.enum) return schema.enum.join(" | ");
  const type = [].concat(schema.type || "any").join(" or ");
  if (schema.items) return `list of ${typeOf(api, schema.items)}`;
  return schema.format ? `${type} (${schema.format})` : type;
}

function fields(api, schema, seen = new Set()) {
  const whole = resolve(api, schema);
  if (whole.items) return fields(api, whole.items, seen);
  const parts = whole.allOf || whole.oneOf;
  if (parts && !whole.properties) {
    const box = make("div");
    parts.filter((part) => part.type !== "null").forEach((part) => box.append(fields(api, part, seen)));
    return box;
  }
  if (!whole.properties) return make("p", `${whole.title ? whole.title + ": " : ""}${typeOf(api, whole)}`);
  if (whole.title && seen.has(whole.title)) return make("p", `${whole.title}, as above`);
  seen.add(whole.title);
  const body = make("tbody");
  const nested = [];
  for (const [name, property] of Object.entries(whole.properties)) {
    const needed = (whole.required || []).includes(name) ? "" : ", optional";
    body.append(make("tr", "", make("td", "", make("code", name)),
      make("td", typeOf(api, property) + needed),
      make("td", property.description || resolve(api, property).description || "")));
    const inner = property.items || (property.oneOf || []).find((one) => one.$ref) || property;
    if (inner.$ref && resolve(api, inner).properties) nested.push(inner);
  }
  const head = make("thead", "", make("tr", "", make("th", "Field"), make("th", "Type"), make("th", "What it is")));
  const box = make("div", "", make("p", whole.title || ""), make("table", "", head, body));
  nested.forEach((inner) => box.append(fields(api, inner, seen)));
  return box;
}

function operation(api, path, method, op) {
  const summary = make("summary", "", make("b", method.toUpperCase()), make("code", path), make("span", op.summary || ""));
  const details = make("details", "", summary);
  details.id = op.operationId;
  details.dataset.text = `${method} ${path} ${op.summary || ""} ${op.description || ""}`.toLowerCase();
  details.addEventListener("toggle", () => {
    if (details.childElementCount > 1) return;
    if (op.description) details.append(make("p", op.description));
    if (op.parameters && op.parameters.length) {
      details.append(make("h3", "Parameters"));
      const body = make("tbody");
      for (const parameter of op.parameters) {
        body.append(make("tr", "", make("td", "", make("code", parameter.name)),
          make("td", `${parameter.in}, ${typeOf(api, parameter.schema)}${parameter.required ? "" : ", optional"}`),
          make("td", parameter.description || "")));
      }
      details.append(make("table", "", body));
    }
    if (op.requestBody) {
      details.append(make("h3", "Body"));
      for (const content of Object.values(op.requestBody.content)) details.append(fields(api, content.schema));
    }
    details.append(make("h3", "Answers"));
    for (const [status, answer] of Object.entries(op.responses)) {
      details.append(make("p", "", make("code", status), ` ${answer.description || ""}`));
      if (status.startsWith("2")) {
        for (const content of Object.values(answer.content || {})) details.append(fields(api, content.schema));
      }
    }
  });
  return details;
}

async function show() {
  const main = document.getElementById("operations");
  const answer = await fetch("/api/v1/openapi.json");
  const api = await answer.json();
  document.getElementById("title").textContent = `${api.info.title} ${api.info.version}`;
  document.getElementById("about").textContent = api.info.description || "";
  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const [method, op] of Object.entries(item)) {
      if (!op.responses) continue;
      const tag = (op.tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operation(api, path, method, op));
    }
  }
  main.replaceChildren();
  for (const [tag, all] of groups) main.append(make("section", "", make("h2", tag), ...all));
  const find = document.getElementById("find");
  find.addEventListener("input", () => {
    const wanted = find.value.toLowerCase();
    for (const one of main.querySelectorAll("details")) one.hidden = !one.dataset.text.includes(wanted);
  });
}

show().catch((error) => {
  document.getElementById("operations").textContent = `The document cannot be read: ${error.message}`;
});
