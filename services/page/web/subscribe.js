// This tab's part of the feed: from the browser's shared worker, or where there is none, by a
// stream of its own while it can be seen.
import { Stream } from "./stream.js";

function shared(onNews, onLive, otherwise) {
  const join = () => {
    const worker = new SharedWorker("/feed.js", "hatchery");
    worker.onerror = otherwise;
    worker.port.onmessage = ({ data }) => {
      if (data.news) onNews(data.news);
      if (data.live !== undefined) onLive(data.live);
    };
    return worker.port;
  };
  let port = join();
  addEventListener("pagehide", () => port.postMessage("bye"));
  addEventListener("pageshow", ({ persisted }) => { if (persisted) port = join(); });
}

function own(onNews, onLive) {
  const stream = new Stream(onNews, onLive);
  const follow = () => document.hidden ? stream.close() : stream.open();
  document.addEventListener("visibilitychange", follow);
  follow();
}

export function subscribe(onNews, onLive) {
  let alone = false;
  const byOurselves = () => {
    if (!alone) own(onNews, onLive);
    alone = true;
  };
  if (window.SharedWorker) shared(onNews, onLive, byOurselves);
  else byOurselves();
}
