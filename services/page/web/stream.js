// The one connection to the coordinator's feed, opened again whenever it breaks.
const FIRST_PAUSE = 500, LONGEST_PAUSE = 10_000; // milliseconds

export class Stream {
  // onNews(message) and onLive(boolean: whether the feed is up).
  constructor(onNews, onLive) {
    this.onNews = onNews;
    this.onLive = onLive;
    this.pause = FIRST_PAUSE;
  }

  open() {
    if (this.source || this.timer) return;
    this.source = new EventSource("/api/feed");
    this.source.onmessage = (event) => {
      this.pause = FIRST_PAUSE;
      this.onLive(true);
      this.onNews(JSON.parse(event.data));
    };
    this.source.onerror = () => {
      this.close();
      this.onLive(false);
      // Not all browsers at once, after the coordinator was away.
      this.timer = setTimeout(() => { this.timer = undefined; this.open(); }, this.pause * (1 + Math.random()));
      this.pause = Math.min(this.pause * 2, LONGEST_PAUSE);
    };
  }

  close() {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.source?.close();
    this.source = undefined;
  }
}
