// Small help with the page: rows that are kept and changed in place, so that a table that changes
// many times a second neither flickers nor loses the keyboard's focus.

export const byId = (id) => document.getElementById(id);

/** Makes an element; properties that are functions become listeners. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Writes text only where it differs. */
export function say(element, text) {
  const words = text === null || text === undefined ? "" : String(text);
  if (element.textContent !== words) element.textContent = words;
}

/**
 * Keeps one row for each item, in their order. `build(item)` makes a row, `update(row, item)` fills it.
 */
export class Rows {
  #rows = new Map();

  constructor(parent, key, build, update) {
    Object.assign(this, { parent, key, build, update });
  }

  show(items) {
    const wanted = new Set(items.map(this.key));
    for (const [key, row] of this.#rows) {
      if (!wanted.has(key)) {
        row.remove();
        this.#rows.delete(key);
      }
    }
    let place = this.parent.firstElementChild;
    for (const item of items) {
      const key = this.key(item);
      let row = this.#rows.get(key);
      if (!row) {
        row = this.build(item);
        this.#rows.set(key, row);
      }
      if (row === place) place = place.nextElementSibling;
      else this.parent.insertBefore(row, place);
      this.update(row, item);
    }
  }
}

/** Calls `draw` at most once a frame, however often it is asked for. */
export function onFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** A count with thousands apart. Decimal strings keep their digits. */
export function count(value) {
  if (value === null || value === undefined) return "";
  const text = typeof value === "number" ? whole.format(value) : String(value);
  if (typeof value === "number") return text;
  const [head, tail] = text.split(".");
  const apart = head.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return tail === undefined ? apart : `${apart}.${tail}`;
}

/** Seconds as the unit that suits them. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 1e-3) return `${(seconds * 1e6).toFixed(seconds < 1e-5 ? 1 : 0)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(seconds < 1e-2 ? 1 : 0)} ms`;
  return `${seconds.toFixed(1)} s`;
}

/** The time of day of a UTC stamp, as this machine's clock shows it. */
export function timeOfDay(stamp) {
  const date = new Date(stamp);
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleTimeString("en-GB", { hour12: false });
}
