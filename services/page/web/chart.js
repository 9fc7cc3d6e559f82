// A chart of figures by step that can be read and zoomed with mouse, keys and buttons. uPlot draws.
import uPlot from "uplot";
import { h, setText } from "./dom.js";
import { count, tick } from "./format.js";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
const heightOf = (width) => width < 480 ? 220 : 300;

export class Chart {
  // series: {name, color (a CSS variable), format, points}; onRange(low, high): what is looked at.
  constructor(title, series, unit, onRange = () => {}) {
    this.series = series;
    this.onRange = onRange;
    this.range = null; // [low, high] while zoomed
    this.data = [[0], ...series.map(() => [null])];
    this.canvas = h("div", { class: "canvas", tabindex: "0", role: "group",
      "aria-label": `${title}: arrow keys read it, plus and minus zoom, Escape shows all` });
    this.readout = h("p", { class: "readout", "aria-live": "polite" });
    const button = (label, text, act) => {
      const element = h("button", { type: "button", "aria-label": `${label}: ${title}`, title: label }, text);
      element.addEventListener("click", act);
      return element;
    };
    this.element = h("figure", { class: "figure" },
      h("figcaption", {}, h("h3", {}, title, h("span", { class: "quiet" }, ` ${unit}`)),
        h("span", { class: "legend" }, ...series.map((s) => h("span", {}, h("i", { class: `key ${s.color}` }), s.name)))),
      this.canvas,
      h("div", { class: "tools" }, this.readout,
        button("Zoom in", "+", () => this.scale(0.5)), button("Zoom out", "−", () => this.scale(2)),
        button("Earlier", "←", () => this.shift(-0.5)), button("Later", "→", () => this.shift(0.5)),
        button("Show all", "All", () => this.zoom(null))));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.resized = new ResizeObserver(() => this.fit());
    this.recolored = matchMedia("(prefers-color-scheme: dark)");
    this.recolor = () => this.plot?.redraw(false);
    this.recolored.addEventListener("change", this.recolor);
    this.resized.observe(this.canvas);
  }

  destroy() {
    this.resized.disconnect();
    this.recolored.removeEventListener("change", this.recolor);
    this.plot?.destroy();
  }

  fit() {
    const width = this.canvas.clientWidth;
    if (width === 0) return;
    const size = { width, height: heightOf(width) };
    if (this.plot) this.plot.setSize(size);
    else this.make(size);
  }

  make(size) {
    const line = (s) => ({ label: s.name, stroke: () => css(`--${s.color}`), width: 1.6, spanGaps: true,
      points: { show: s.points, size: 5, fill: () => css("--card") } });
    const axis = (more) => ({ stroke: () => css("--quiet"), font: "12px system-ui, sans-serif",
      grid: { stroke: () => css("--grid"), width: 1 }, ticks: { show: false }, ...more });
    this.plot = new uPlot({
      ...size,
      legend: { show: false },
      cursor: { drag: { x: true, y: false, dist: 8 }, points: { size: 7 } },
      scales: { x: { time: false, range: (u, low, high) => this.range ?? (low === high ? [low, low + 1] : [low, high]) } },
      series: [{}, ...this.series.map(line)],
      axes: [axis({ size: 34, values: (u, ticks) => ticks.map((t) => Number.isInteger(t) ? count(t) : "") }), axis({ size: 56, values: (u, ticks) => ticks.map(tick) })],
      hooks: {
        setCursor: [(u) => this.read(u.cursor.idx)],
        setSelect: [(u) => { if (u.select.width > 8) this.drag(u); }],
      },
    }, this.data, this.canvas);
    // The library's own double click zooms to what it thinks is all; ours forgets the range too.
    this.plot.over.addEventListener("dblclick", () => this.zoom(null));
  }

  drag(u) {
    const [low, high] = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")];
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.zoom([low, high]);
  }

  // columns: [steps, values] a series.
  show(columns) {
    const joined = uPlot.join(columns.map(([steps, values]) => [steps, values]));
    this.data = joined[0].length ? joined : [[0], ...this.series.map(() => [null])];
    this.plot?.setData(this.data);
  }

  get all() { return [this.data[0][0], this.data[0].at(-1)]; }
  get view() { return this.range ?? this.all; }

  zoom(range) {
    const [first, last] = this.all;
    if (range) {
      const low = Math.max(range[0], first), high = Math.min(range[1], last);
      if (high - low < 2) return; // less than three steps is no curve
      range = low <= first && high >= last ? null : [low, high];
    }
    this.range = range;
    this.canvas.dataset.range = range ? range.map(Math.round).join(" ") : "all";
    this.plot?.setData(this.data);
    this.onRange(range);
  }

  // Into what is read; out from the middle, which reaches the newest step though more keep coming.
  scale(by) {
    const [low, high] = this.view, reads = by < 1 && this.at !== undefined;
    const at = reads ? this.data[0][this.at] : (low + high) / 2;
    this.zoom([at - (at - low) * by, at + (high - at) * by]);
  }

  shift(by) {
    const [low, high] = this.view, [first, last] = this.all, width = high - low;
    const from = Math.min(Math.max(low + by * width, first), last - width);
    this.zoom([from, from + width]);
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) this.readNext(step);
    else if (event.key === "+" || event.key === "=") this.scale(0.5);
    else if (event.key === "-") this.scale(2);
    else if (event.key === "Escape") this.zoom(null);
    else return;
    event.preventDefault();
  }

  readNext(by) {
    const steps = this.data[0], [low, high] = this.view;
    const first = steps.findIndex((step) => step >= low), last = steps.findLastIndex((step) => step <= high);
    const start = by > 0 ? first : last;
    const at = this.at === undefined ? start : Math.min(Math.max(this.at + by, first), last);
    this.plot.setCursor({ left: this.plot.valToPos(steps[at], "x"), top: this.plot.over.clientHeight / 2 });
  }

  read(index) {
    this.at = index ?? undefined;
    if (this.at === undefined) return setText(this.readout, "");
    const said = this.series
      .map((s, i) => [s, this.data[i + 1][this.at]])
      .filter(([, value]) => value !== null && value !== undefined)
      .map(([s, value]) => `${s.name} ${s.format(value)}`);
    setText(this.readout, `step ${count(this.data[0][this.at])}: ${said.join(", ")}`);
  }
}
