// What is known of the coordinator, kept up to date by the feed's messages (docs/page.md).
const EVENTS_KEPT = 200;

export class Store {
  constructor() {
    this.known = false;
    this.version = "";
    this.jobs = new Map(); // rows by id: {state, seconds_left}
    this.allJobs = 0;
    this.workers = []; // rows: {state, share}
    this.allWorkers = 0;
    this.events = []; // oldest first
  }

  apply(news) {
    if (news.whole) {
      this.known = true;
      this.version = news.version;
      this.jobs.clear();
      this.events = [];
    }
    for (const row of news.jobs ?? []) this.jobs.set(row.state.job_id, row);
    if (news.all_jobs !== undefined) this.allJobs = news.all_jobs;
    if (news.workers) [this.workers, this.allWorkers] = [news.workers.shown, news.workers.all];
    if (news.events) this.events = [...this.events, ...news.events].slice(-EVENTS_KEPT);
  }

  // As a message that tells all of it.
  whole() {
    return {
      whole: true,
      version: this.version,
      jobs: [...this.jobs.values()],
      all_jobs: this.allJobs,
      workers: { shown: this.workers, all: this.allWorkers },
      events: this.events,
    };
  }
}
