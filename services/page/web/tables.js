// The tables that several views show.
import { Table } from "./dom.js";
import * as format from "./format.js";

const IN_ORDER = ["running", "queued", "paused"];

export function jobsTable() {
  return new Table("Jobs", [
    { title: "Job", text: ({ state }) => state.job_id, href: ({ state }) => `#/jobs/${state.job_id}` },
    { title: "Name", class: "name", text: ({ state }) => state.name || format.NONE },
    { title: "State", state: true, text: ({ state }) => state.state, full: ({ state }) => state.reason },
    { title: "Step", class: "number", text: ({ state }) => `${format.count(state.step)} / ${format.count(state.steps)}` },
    { title: "Training", class: "number wide", text: ({ state }) => format.bits(state.latest.train_bits_per_byte) },
    { title: "Held-out", class: "number", text: ({ state }) => format.bits(state.latest.validation_bits_per_byte) },
    { title: "Tokens/s", class: "number wide",
      text: ({ state }) => state.state === "running" ? format.rate(state.latest.tokens_per_second) : format.NONE },
    { title: "ETA", class: "number wide", text: (row) => format.duration(row.seconds_left) },
  ], "No jobs yet. hatchery submit sends one.");
}

// What runs, then what waits, then the newest of what is over.
export function jobsInOrder(store) {
  const rank = ({ state }) => (IN_ORDER.indexOf(state.state) + IN_ORDER.length + 1) % (IN_ORDER.length + 1);
  const byAge = (a, b) => a.state.job_id - b.state.job_id;
  return [...store.jobs.values()]
    .sort((a, b) => rank(a) - rank(b) || (rank(a) === IN_ORDER.length ? byAge(b, a) : byAge(a, b)))
    .map((row) => [row.state.job_id, row]);
}

export function workersTable(withJob) {
  const columns = [
    { title: "Worker", text: ({ state }) => state.worker_id },
    { title: "Name", class: "name wide", text: ({ state }) => state.name },
    { title: "Backend", text: ({ state }) => state.backend },
    { title: "State", state: true, text: ({ state }) => state.state },
    { title: "Job", class: "number wide", text: ({ state }) => state.job_id || format.NONE },
    { title: "Tokens/s", class: "number", text: ({ state }) => format.rate(state.tokens_per_second) },
    { title: "Share", class: "number", text: ({ share }) => format.percent(share) },
    { title: "Device", class: "name wide", text: ({ state }) => state.device },
  ];
  if (!withJob) columns.splice(4, 1);
  return new Table("Workers", columns, "No workers are connected. hatchery-worker starts one.");
}

export function showWorkers(table, store, job) {
  const rows = store.workers.filter(({ state }) => job === undefined || state.job_id === job);
  const left = store.allWorkers - store.workers.length;
  table.show(rows.map((row) => [row.state.worker_id, row]), left > 0 ? `and ${format.some(left, "more worker")}` : "");
}

export function eventsTable(withJob) {
  const columns = [
    { title: "Time", text: (event) => format.time(event.unix_milliseconds) },
    { title: "Job", class: "number wide", text: (event) => event.job_id || format.NONE },
    { title: "Step", class: "number wide", text: (event) => format.count(event.step) },
    { title: "Worker", class: "wide", text: (event) => event.worker_id || format.NONE },
    { title: "Event", text: (event) => event.kind.replaceAll("_", " ") },
    { title: "Message", class: "name", text: (event) => event.message },
  ];
  if (!withJob) columns.splice(1, 1);
  return new Table("Events", columns, "None yet.");
}

// Newest first.
export function showEvents(table, events, most) {
  table.show(events.slice(-most).reverse().map((event) => [event, event]));
}
