// One job: how far, how well, by whom, what it writes.
import { Chart } from "./chart.js";
import { Curve } from "./curve.js";
import { h, section, setText, Table } from "./dom.js";
import * as format from "./format.js";
import { eventsTable, showEvents, showWorkers, workersTable } from "./tables.js";

const EVENTS_KEPT = 200, TEXTS_KEPT = 16;
const NEW_DETAIL_AFTER = 150; // milliseconds

// Fields of a job, {a: {b: 1}} as [["a.b", "1"]].
const fieldsOf = (value, name = "") => value !== null && typeof value === "object"
  ? Object.entries(value).flatMap(([key, v]) => fieldsOf(v, name ? `${name}.${key}` : key))
  : [[name, String(value)]];

async function load(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.json();
}

export class JobView {
  constructor(store, id) {
    this.store = store;
    this.id = id;
    this.title = `Job ${id} – Hatchery`;
    this.curve = new Curve();
    this.events = [];
    this.texts = [];
    this.build();
    this.reload();
  }

  build() {
    this.heading = h("h1", { tabindex: "-1" }, `Job ${this.id}`);
    this.state = h("p", { class: "summary" });
    this.progress = h("progress", { max: "1", "aria-label": "Steps that are committed" });
    this.tiles = Object.fromEntries(["Step", "ETA", "Training bits/byte", "Held-out bits/byte", "Tokens/s", "Workers"]
      .map((name) => [name, h("dd")]));
    this.loss = new Chart("Loss", [
      { name: "training", color: "s0", format: format.bits, points: false },
      { name: "held-out", color: "s1", format: format.bits, points: true },
    ], "bits/byte", (range) => this.look(range));
    this.speed = new Chart("Speed", [{ name: "tokens/s", color: "s2", format: format.rate, points: false }], "tokens/s");
    this.workersTable = workersTable(false);
    this.eventsTable = eventsTable(false);
    this.textList = h("ol", { class: "texts" });
    this.noTexts = h("p", { class: "quiet" }, "None yet: each stored checkpoint writes one.");
    this.fields = new Table("Configuration", [
      { title: "Field", text: ([name]) => name },
      { title: "Value", class: "name", text: ([, value]) => value },
    ], "");
    this.newest = new Table("Newest steps", [
      { title: "Step", class: "number", text: (row) => format.count(row.step) },
      { title: "Training", class: "number", text: (row) => format.bits(row.train) },
      { title: "Held-out", class: "number", text: (row) => format.bits(row.heldOut) },
      { title: "Tokens/s", class: "number", text: (row) => format.rate(row.speed) },
    ], "None yet.");
    this.content = h("div", {}, this.progress,
      h("dl", { class: "tiles" }, ...Object.entries(this.tiles).map(([name, dd]) => h("div", {}, h("dt", {}, name), dd))),
      section("Curves", h("div", { class: "figures" }, this.loss.element, this.speed.element),
        h("details", {}, h("summary", {}, "Newest figures as a table"), this.newest.element)),
      section("What it writes", this.textList, this.noTexts),
      section("Workers", this.workersTable.element),
      section("Events", this.eventsTable.element),
      section("Configuration", h("details", {}, h("summary", {}, "All fields"), this.fields.element)));
    this.element = h("div", {}, this.heading, this.state, this.content);
  }

  // All of it anew. News that comes meanwhile is kept until then.
  async reload() {
    const waiting = this.waiting = [];
    try {
      const details = await load(`/api/jobs/${this.id}`);
      if (this.waiting !== waiting) return; // another reload began
      this.curve = new Curve(details.curve);
      [this.events, this.texts] = [details.events, details.texts];
      this.waiting = null;
      waiting.forEach((news) => this.add(news));
      this.draw();
    } catch (error) {
      if (this.waiting === waiting) this.failed = error.message;
    }
    this.update({});
  }

  add(news) {
    for (const { job_id, curve } of news.curves ?? []) if (job_id === this.id) this.curve.add(curve);
    for (const event of news.events ?? []) if (event.job_id === this.id) this.events.push(event);
    for (const text of news.texts ?? []) if (text.job_id === this.id) this.texts.push(text);
    this.events = this.events.slice(-EVENTS_KEPT);
    this.texts = this.texts.slice(-TEXTS_KEPT);
  }

  update(news) {
    if (news.whole) this.reload();
    else if (this.waiting) this.waiting.push(news);
    else {
      this.add(news);
      if (news.curves?.some(({ job_id }) => job_id === this.id)) this.drawCurves();
      if (news.events) showEvents(this.eventsTable, this.events, EVENTS_KEPT);
      if (news.texts) this.drawTexts();
    }
    this.drawState();
  }

  drawState() {
    const row = this.store.jobs.get(this.id);
    this.content.hidden = !row;
    if (!row) return setText(this.state, this.failed ?? "loading …");
    const { state } = row, { latest } = state;
    this.title = `Job ${this.id}: ${state.name || "without a name"} – Hatchery`;
    setText(this.heading, state.name || `Job ${this.id}`);
    setText(this.state, `job ${this.id} · ${state.state}${state.reason ? `: ${state.reason}` : ""}`);
    this.state.dataset.state = state.state;
    const done = state.steps > 0 ? state.step / state.steps : 1;
    this.progress.value = done;
    setText(this.progress, format.percent(done));
    const tell = (name, text) => setText(this.tiles[name], text);
    tell("Step", `${format.count(state.step)} / ${format.count(state.steps)}`);
    tell("ETA", format.duration(row.seconds_left));
    tell("Training bits/byte", format.bits(latest.train_bits_per_byte));
    tell("Held-out bits/byte", format.bits(latest.validation_bits_per_byte));
    tell("Tokens/s", state.state === "running" ? format.rate(latest.tokens_per_second) : format.NONE);
    tell("Workers", format.count(state.workers));
    showWorkers(this.workersTable, this.store, this.id);
    this.fields.show(fieldsOf(state.job).concat([["digest", latest.digest ?? format.NONE]]).map((field) => [field[0], field]));
  }

  draw() {
    this.drawCurves();
    this.drawTexts();
    showEvents(this.eventsTable, this.events, EVENTS_KEPT);
  }

  drawCurves() {
    const { curve, detail } = this, [low, high] = this.loss.range ?? [];
    const line = (name) => Curve.line(curve[name], detail?.[name], low, high);
    const [train, heldOut, speed] = [line("train"), line("heldOut"), line("speed")];
    this.loss.show([train, heldOut]);
    this.speed.show([speed]);
    const rows = train[0].slice(-20).reverse().map((step) => [step,
      { step, train: curve.train.get(step), heldOut: curve.heldOut.get(step), speed: curve.speed.get(step) }]);
    this.newest.show(rows);
  }

  // A zoomed curve that was thinned is asked for again, as fine as it can be had.
  look(range) {
    clearTimeout(this.timer);
    this.detail = null;
    if (!range) return this.drawCurves();
    if (this.curve.stride === 1) return;
    this.timer = setTimeout(async () => {
      const [from, to] = [Math.floor(range[0]), Math.ceil(range[1]) + 1];
      const finer = await load(`/api/jobs/${this.id}/curve?from=${from}&to=${to}`).catch(() => null);
      if (!finer || this.loss.range !== range) return;
      this.detail = new Curve(finer);
      this.drawCurves();
    }, NEW_DETAIL_AFTER);
  }

  drawTexts() {
    this.noTexts.hidden = this.texts.length > 0;
    const shown = new Map([...this.textList.children].map((item) => [item.dataset.step, item]));
    this.textList.replaceChildren(...[...this.texts].reverse().map(({ step, text }) =>
      shown.get(String(step)) ?? h("li", { "data-step": String(step) },
        h("h3", {}, `after ${format.some(step, "step")}`), h("pre", {}, text))));
  }

  destroy() {
    clearTimeout(this.timer);
    this.loss.destroy();
    this.speed.destroy();
  }
}
