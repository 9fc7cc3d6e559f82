// One job's figures by step: what was loaded, and what the feed added since.
const MOST_POINTS = 4000;

const fresh = () => ({ stride: 1, train: new Map(), speed: new Map(), heldOut: new Map() });

export class Curve {
  constructor(json) {
    Object.assign(this, fresh());
    if (json) this.add(json, json.stride);
  }

  // Steps of `json`, thinned to those after `stride` commits, but for the newest one.
  add(json, stride = this.stride) {
    this.stride = Math.max(stride, this.stride);
    const previous = this.newest;
    if (previous !== undefined && !this.fits(previous) && json.step.some((step) => step > previous))
      for (const column of [this.train, this.speed]) column.delete(previous);
    json.step.forEach((step, i) => {
      if (!this.fits(step) && i + 1 < json.step.length) return;
      this.train.set(step, json.train[i]);
      this.speed.set(step, json.tokens_per_second[i]);
      this.newest = Math.max(step, this.newest ?? 0);
    });
    json.held_out_step.forEach((step, i) => this.heldOut.set(step, json.held_out[i]));
    while (this.train.size > MOST_POINTS) this.thin();
  }

  fits(step) { return (step + 1) % this.stride === 0; }

  thin() {
    this.stride *= 2;
    for (const column of [this.train, this.speed])
      for (const step of column.keys()) if (!this.fits(step) && step !== this.newest) column.delete(step);
    if (this.heldOut.size > MOST_POINTS)
      [...this.heldOut.keys()].forEach((step, i) => { if (i % 2 === 1) this.heldOut.delete(step); });
  }

  // [steps, values] in order, with `finer` in the place of ours where it is given for [low, high].
  static line(column, finer, low, high) {
    const points = new Map(column);
    if (finer) {
      for (const step of points.keys()) if (step >= low && step <= high) points.delete(step);
      for (const [step, value] of finer) points.set(step, value);
    }
    const steps = [...points.keys()].sort((a, b) => a - b);
    return [steps, steps.map((step) => points.get(step))];
  }
}
