// A shared worker: all tabs of a browser hear one stream. A browser has six connections to a
// server, so that with a stream a tab the sixth tab would have to wait for ever.
import { Store } from "./store.js";
import { Stream } from "./stream.js";

const tabs = new Set();
const store = new Store();
let live = false;
const tell = (message) => tabs.forEach((tab) => tab.postMessage(message));
const stream = new Stream(
  (news) => { store.apply(news); tell({ news }); },
  (now) => { if (now !== live) tell({ live: live = now }); },
);

self.onconnect = ({ ports: [tab] }) => {
  tabs.add(tab);
  tab.onmessage = () => { // it says that it goes
    tabs.delete(tab);
    if (tabs.size > 0) return;
    stream.close();
    live = store.known = false;
  };
  if (store.known) tab.postMessage({ news: store.whole(), live });
  stream.open();
};
