// Figures as people read them; as in the terminal (services/client/figure_text.cc).
export const NONE = "–";

export function rate(value) {
  if (!(value > 0)) return NONE;
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  return value.toFixed(0);
}

// Of an axis.
export const tick = (value) => {
  const [by, unit] = Math.abs(value) >= 1e6 ? [1e6, " M"] : Math.abs(value) >= 1e4 ? [1e3, " k"] : [1, ""];
  return `${Number((value / by).toPrecision(6))}${unit}`;
};

export const bits = (value) => value > 0 ? value.toFixed(3) : NONE;

export const percent = (share) => share === null || share === undefined ? NONE : `${Math.round(share * 100)} %`;

export const count = (n) => n.toLocaleString("en-US");

export const some = (n, what) => `${count(n)} ${what}${n === 1 ? "" : "s"}`;

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  const s = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
  if (s >= 3600) return `${Math.floor(s / 3600)}h${two(Math.floor(s % 3600 / 60))}m`;
  return s >= 60 ? `${Math.floor(s / 60)}m${two(s % 60)}s` : `${s}s`;
}

// Local time; the date only if it is not today.
export function time(milliseconds) {
  const date = new Date(milliseconds), today = new Date().toDateString() === date.toDateString();
  const two = (n) => String(n).padStart(2, "0");
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return today ? clock : `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock}`;
}
