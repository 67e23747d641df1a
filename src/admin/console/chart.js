// Small charts of latency over time: one per stage, three percentiles, a logarithmic scale from 100
// nanoseconds to a second.

import { duration, make, say } from "./dom.js";

const KEPT = 180;
const LOW = -7;
const HIGH = 0;
const LINES = ["p50", "p99", "p999"];
const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** How high a latency in seconds stands, 0 at the bottom to 1. */
function height(seconds) {
  const power = Math.log10(Math.max(seconds, 1e-9));
  return Math.min(Math.max((power - LOW) / (HIGH - LOW), 0), 1);
}

export class Charts {
  #stages = new Map();

  constructor(parent) {
    this.parent = parent;
  }

  /** Adds one second: `[{stage, p50, p99, p999}]`, seconds; null where nothing was measured. */
  add(stages) {
    for (const point of stages) {
      const chart = this.#stages.get(point.stage) ?? this.#begin(point.stage);
      chart.points.push(point);
      if (chart.points.length > KEPT) chart.points.shift();
    }
  }

  draw() {
    for (const chart of this.#stages.values()) {
      const last = chart.points.at(-1);
      say(chart.now, last?.p50 == null ? "idle" : `${duration(last.p50)} · ${duration(last.p99)} · ${duration(last.p999)}`);
      for (const line of LINES) {
        const shift = KEPT - chart.points.length;
        const drawn = chart.points
          .map((point, at) => (point[line] == null ? null : `${at + shift},${(100 * (1 - height(point[line]))).toFixed(1)}`))
          .filter((point) => point !== null);
        chart.lines[line].setAttribute("points", drawn.join(" "));
      }
      const text = last?.p50 == null ? "nothing measured" : `p50 ${duration(last.p50)}, p99 ${duration(last.p99)}, p99.9 ${duration(last.p999)}`;
      chart.picture.setAttribute("aria-label", `${chart.name}: ${text}`);
    }
  }

  #begin(stage) {
    const name = stage.replaceAll("_", " ");
    const picture = svg("svg", { viewBox: `0 0 ${KEPT - 1} 100`, preserveAspectRatio: "none", role: "img" });
    for (const power of [-6, -5, -4, -3, -2, -1]) {
      const y = 100 * (1 - (power - LOW) / (HIGH - LOW));
      picture.append(svg("line", { x1: 0, x2: KEPT - 1, y1: y, y2: y }));
    }
    const lines = {};
    for (const line of LINES) {
      lines[line] = svg("polyline", { class: line });
      picture.append(lines[line]);
    }
    const now = make("b");
    this.parent.append(make("figure", {}, make("figcaption", {}, name, now), picture));
    const chart = { name, points: [], lines, now, picture };
    this.#stages.set(stage, chart);
    return chart;
  }
}
