"use strict";
// Charts that can be read and zoomed. The figures stand in the SVG's lines in their own units; this
// changes the transform that they are drawn under and draws the axes to fit. Without it the charts
// are as they were written (services/report/chart.cc).
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const MARGIN = { left: 64, right: 14, top: 8, bottom: 46 };
  const MAX_ZOOM = 1e4;

  const element = (name, attributes, text) => {
    const e = document.createElementNS(SVG, name);
    for (const key in attributes) e.setAttribute(key, attributes[key]);
    if (text !== undefined) e.textContent = text;
    return e;
  };

  // As FormatNumber in chart.cc.
  const format = (value, digits) => {
    let scaled = Math.abs(value) < 1e-12 ? 0 : value, unit = 0;
    for (; Math.abs(scaled) >= 10000 && unit < 4; ++unit) scaled /= 1000;
    return Number(scaled.toPrecision(digits)) + ["", " k", " M", " G", " T"][unit];
  };

  const ticks = (low, high, about) => {
    const rough = (high - low) / about, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * (rough / power > 5 ? 10 : rough / power > 2 ? 5 : rough / power > 1 ? 2 : 1);
    const all = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; ++i) all.push(i * step);
    return all;
  };

  class Chart {
    constructor(figure) {
      this.svg = figure.querySelector(".chart");
      this.readout = figure.querySelector(".readout");
      this.buttons = [...figure.querySelectorAll(".legend button")];
      this.axes = this.svg.querySelector(".axes");
      this.plot = this.svg.querySelector(".plot");
      this.lines = this.svg.querySelector(".lines");
      this.labels = [...this.svg.querySelectorAll(".label")].map((label) => label.textContent);
      this.home = this.svg.dataset.domain.split(" ").map(Number);
      this.series = [...this.svg.querySelectorAll(".series")].map((group, i) => ({
        group,
        name: this.buttons.length ? this.buttons[i].textContent : this.labels[1],
        points: group.querySelector("polyline").getAttribute("points").split(" ").filter(Boolean)
          .map((pair) => pair.split(",").map(Number)),
        shown: true,
      }));
      this.height = this.svg.viewBox.baseVal.height;
      this.cursor = element("line", { class: "cursor hidden", y1: 0 });
      this.selection = element("rect", { class: "selection hidden", y: 0 });
      this.plot.append(this.selection, this.cursor);
      this.svg.setAttribute("tabindex", "0");
      this.view = this.home;
      this.listen();
      new ResizeObserver(() => this.draw()).observe(this.svg.parentElement);
    }

    listen() {
      this.svg.addEventListener("pointerdown", (e) => this.begin(e));
      this.svg.addEventListener("pointermove", (e) => this.move(e));
      this.svg.addEventListener("pointerup", (e) => this.end(e));
      this.svg.addEventListener("pointercancel", () => this.cancel());
      this.svg.addEventListener("pointerleave", (e) => e.pointerType === "mouse" && this.cancel());
      this.svg.addEventListener("dblclick", () => this.zoom(this.home[0], this.home[1]));
      this.svg.addEventListener("keydown", (e) => this.key(e));
      this.svg.addEventListener("blur", () => this.read(null));
      this.buttons.forEach((button, i) => button.addEventListener("click", () => {
        this.series[i].shown = !this.series[i].shown;
        button.setAttribute("aria-pressed", String(this.series[i].shown));
        this.series[i].group.classList.toggle("hidden", !this.series[i].shown);
        this.zoom(this.view[0], this.view[1]);
      }));
    }

    // Pixels of the plot, from its left edge.
    x(value) { return (value - this.view[0]) / (this.view[1] - this.view[0]) * this.box.width; }
    valueAt(x) { return this.view[0] + x / this.box.width * (this.view[1] - this.view[0]); }
    place(e) {
      const x = e.clientX - this.svg.getBoundingClientRect().left - MARGIN.left;
      return Math.min(Math.max(x, 0), this.box.width);
    }

    begin(e) {
      if (e.button !== 0) return;
      this.from = this.place(e);
      if (e.pointerType === "mouse") this.svg.setPointerCapture(e.pointerId);
    }
    move(e) {
      const x = this.place(e);
      this.read(this.valueAt(x));
      if (this.from === undefined) return;
      this.selection.classList.remove("hidden");
      this.selection.setAttribute("x", Math.min(x, this.from));
      this.selection.setAttribute("width", Math.abs(x - this.from));
    }
    end(e) {
      const from = this.from, to = this.place(e);
      this.cancel();
      this.read(this.valueAt(to));
      if (from !== undefined && Math.abs(to - from) > 8)
        this.zoom(this.valueAt(Math.min(from, to)), this.valueAt(Math.max(from, to)));
    }
    cancel() {
      this.from = undefined;
      this.selection.classList.add("hidden");
      this.read(null);
    }

    key(e) {
      const [low, high] = this.view, at = this.at ?? (low + high) / 2;
      const moved = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[e.key];
      if (moved !== undefined) this.readNeighbour(moved);
      else if (e.key === "+" || e.key === "=") this.zoom(at - (at - low) / 2, at + (high - at) / 2);
      else if (e.key === "-") this.zoom(at - (at - low) * 2, at + (high - at) * 2);
      else if (e.key === "Escape") this.zoom(this.home[0], this.home[1]);
      else return;
      e.preventDefault();
    }

    // From the x that is read to the next one, among the longest line's.
    readNeighbour(by) {
      const longest = this.series.reduce((a, b) => (b.points.length > a.points.length ? b : a));
      const xs = longest.points.map((p) => p[0]).filter((x) => x >= this.view[0] && x <= this.view[1]);
      if (xs.length === 0) return;
      const start = by > 0 ? -1 : xs.length;
      const now = this.at === undefined ? start : this.nearest(xs.map((x) => [x]), this.at);
      this.read(xs[Math.min(Math.max(now + by, 0), xs.length - 1)]);
    }

    // Index of the point whose x is nearest to `x`.
    nearest(points, x) {
      let low = 0, high = points.length - 1;
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (points[middle][0] < x) low = middle; else high = middle;
      }
      return Math.abs(points[low][0] - x) <= Math.abs(points[high][0] - x) ? low : high;
    }

    // Shows what the lines say at `x`; null: nothing.
    read(x) {
      const shown = this.series.filter((s) => s.shown && s.points.length > 0);
      this.at = x ?? undefined;
      this.cursor.classList.toggle("hidden", x === null);
      if (x === null || shown.length === 0) return this.readout.replaceChildren();
      const points = shown.map((s) => s.points[this.nearest(s.points, x)]);
      const closest = points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a))[0];
      this.cursor.setAttribute("x1", this.x(closest));
      this.cursor.setAttribute("x2", this.x(closest));
      const span = (text) => Object.assign(document.createElement("span"), { textContent: text });
      this.readout.replaceChildren(span(`${this.labels[0]} ${format(closest, 8)}`),
        ...shown.map((s, i) => {
          const where = points[i][0] === closest ? "" : ` (at ${format(points[i][0], 8)})`;
          return span(`${s.name}: ${format(points[i][1], 5)}${where}`);
        }));
    }

    // Shows x from `low` to `high`, and y as the shown lines need it there.
    zoom(low, high) {
      low = Math.max(low, this.home[0]);
      high = Math.min(high, this.home[1]);
      if (high - low < (this.home[1] - this.home[0]) / MAX_ZOOM) return;
      const whole = low === this.home[0] && high === this.home[1];
      if (whole && this.series.every((s) => s.shown)) {
        this.view = this.home;
      } else {
        let [least, most] = [Infinity, -Infinity];
        for (const s of this.series.filter((s) => s.shown))
          for (const [x, y] of s.points)
            if (x >= low && x <= high) [least, most] = [Math.min(least, y), Math.max(most, y)];
        if (least > most) [least, most] = this.home.slice(2);
        const margin = (most - least) * 0.05 || Math.max(Math.abs(most) * 0.05, 1e-3);
        this.view = [low, high, least - margin, most + margin];
      }
      this.draw();
      this.read(this.at ?? null);
    }

    draw() {
      const width = Math.max(this.svg.parentElement.clientWidth, 200);
      const [x0, x1, y0, y1] = this.view;
      this.box = { width: width - MARGIN.left - MARGIN.right, height: this.height - MARGIN.top - MARGIN.bottom };
      const { width: w, height: h } = this.box, sx = w / (x1 - x0), sy = -h / (y1 - y0);
      this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
      this.svg.setAttribute("width", width);
      this.plot.setAttribute("width", w);
      this.selection.setAttribute("height", h);
      this.cursor.setAttribute("y2", h);
      this.lines.setAttribute("transform", `matrix(${sx} 0 0 ${sy} ${-x0 * sx} ${-y1 * sy})`);
      this.axes.replaceChildren(...this.drawAxes(w, h, sx, sy));
    }

    drawAxes(w, h, sx, sy) {
      const [x0, x1, y0, y1] = this.view, { left, top } = MARGIN, bottom = top + h, all = [];
      for (const tick of ticks(y0, y1, 5)) {
        const y = top + (tick - y1) * sy;
        all.push(element("line", { class: "grid", x1: left, x2: left + w, y1: y, y2: y }),
          element("text", { class: "tick", x: left - 8, y: y + 4, "text-anchor": "end" }, format(tick, 6)));
      }
      for (const tick of ticks(x0, x1, Math.floor(w / 90) + 1)) {
        const x = left + (tick - x0) * sx;
        all.push(element("line", { class: "grid", x1: x, x2: x, y1: top, y2: bottom }),
          element("text", { class: "tick", x, y: bottom + 18, "text-anchor": "middle" }, format(tick, 6)));
      }
      const middle = top + h / 2;
      all.push(element("line", { class: "frame", x1: left, x2: left + w, y1: bottom, y2: bottom }),
        element("text", { class: "label", x: left + w / 2, y: bottom + 38, "text-anchor": "middle" }, this.labels[0]),
        element("text", { class: "label", x: 14, y: middle, "text-anchor": "middle",
          transform: `rotate(-90 14 ${middle})` }, this.labels[1]));
      return all;
    }
  }

  for (const figure of document.querySelectorAll(".figure")) new Chart(figure);
})();
