// All jobs, all workers.
import { h, section, setText } from "./dom.js";
import { rate, some } from "./format.js";
import { eventsTable, jobsInOrder, jobsTable, showEvents, showWorkers, workersTable } from "./tables.js";

const EVENTS_SHOWN = 50;

export class FleetView {
  title = "Hatchery";

  constructor(store) {
    this.store = store;
    this.summary = h("p", { class: "summary" });
    this.jobs = jobsTable();
    this.workers = workersTable(true);
    this.events = eventsTable(true);
    this.heading = h("h1", { tabindex: "-1" }, "Jobs and workers");
    this.element = h("div", {}, this.heading, this.summary,
      section("Jobs", this.jobs.element), section("Workers", this.workers.element),
      section("Events", this.events.element));
    this.update({});
  }

  update() {
    const { store } = this;
    if (!store.known) return;
    const jobs = jobsInOrder(store), states = jobs.map(([, { state }]) => state);
    const speed = states.filter(({ state }) => state === "running")
      .reduce((sum, { latest }) => sum + latest.tokens_per_second, 0);
    const open = states.filter(({ state }) => !["finished", "cancelled"].includes(state)).length;
    setText(this.summary, [some(store.allWorkers, "worker"), some(open, "open job"), `${rate(speed)} tokens/s`].join(" · "));
    const left = store.allJobs - jobs.length;
    this.jobs.show(jobs, left > 0 ? `and ${some(left, "older job")}` : "");
    showWorkers(this.workers, store);
    showEvents(this.events, store.events, EVENTS_SHOWN);
  }

  destroy() {}
}
