// The page: keeps what is known, and shows the view that the address names.
import { FleetView } from "./fleet_view.js";
import { JobView } from "./job_view.js";
import { Store } from "./store.js";
import { subscribe } from "./subscribe.js";

const store = new Store();
const main = document.getElementById("main");
const connection = document.getElementById("connection");
let view;

function show(first) {
  const job = /^#\/jobs\/(\d{1,20})$/.exec(location.hash);
  view?.destroy();
  view = job ? new JobView(store, job[1]) : new FleetView(store);
  main.replaceChildren(view.element);
  view.update({});
  document.title = view.title;
  if (first) return;
  scrollTo(0, 0);
  view.heading.focus();
}

addEventListener("hashchange", () => show(false));
show(true);
subscribe((news) => {
  store.apply(news);
  view.update(news);
  document.title = view.title;
}, (live) => {
  connection.dataset.live = live;
  connection.textContent = live ? "live" : "the coordinator does not answer; trying again";
});
