/** The predictions for one face over time, averaged over the timeline's steps. */

import { likeliest } from "../heads/label";

interface Moment {
  seconds: number;
  number: number;
}

/** Probabilities of the expressions in `count` equal time steps from `start` to `end`. */
export class TimeSteps {
  readonly #steps = new Map<number, { count: number; sums: Record<string, number> }>();
  readonly #topCounts = new Map<string, number>();

  constructor(
    readonly start: number,
    readonly end: number,
    readonly count: number,
  ) {}

  add(seconds: number, probabilities: Record<string, number>): void {
    const fraction = (seconds - this.start) / (this.end - this.start);
    const index = Math.min(Math.floor(fraction * this.count), this.count - 1);
    if (index < 0 || Number.isNaN(index)) return;
    const step = this.#steps.get(index) ?? { count: 0, sums: {} };
    step.count += 1;
    for (const [name, value] of Object.entries(probabilities)) step.sums[name] = (step.sums[name] ?? 0) + value;
    this.#steps.set(index, step);
    const [top] = likeliest(probabilities);
    this.#topCounts.set(top, (this.#topCounts.get(top) ?? 0) + 1);
  }

  /** The mean probabilities of each non-empty step, in order. */
  means(): { step: number; probabilities: Record<string, number> }[] {
    return [...this.#steps]
      .sort(([one], [other]) => one - other)
      .map(([step, { count, sums }]) => ({
        step,
        probabilities: Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / count])),
      }));
  }

  /** The class that was the most probable at most times. */
  mostFrequent(): string | null {
    return [...this.#topCounts].sort((one, other) => other[1] - one[1])[0]?.[0] ?? null;
  }
}

/** Keeps steps between calls and adds only new moments, because a long video has tens of thousands of moments. */
export class History<Entry extends Moment> {
  #query: unknown[] = [];
  #steps = new TimeSteps(0, 1, 1);
  #counted = 0;

  /**
   * The steps of one face from `start` to `end`.
   *
   * `dropped` counts moments before `entries` that were discarded. `probabilities` depends on the entry and on
   * `scheme`; if `scheme` changes, all steps are recalculated.
   */
  steps(
    { entries, dropped }: { entries: Entry[]; dropped: number },
    face: number,
    [start, end, count]: [number, number, number],
    scheme: unknown,
    probabilities: (entry: Entry) => Record<string, number>,
  ): TimeSteps {
    const query = [entries, face, start, end, count, scheme];
    if (query.some((each, index) => each !== this.#query[index])) {
      this.#query = query;
      this.#steps = new TimeSteps(start, end, count);
      this.#counted = 0;
    }
    const first = Math.max(this.#counted - dropped, 0);
    // Go backwards, because a camera's last minute is at the end. A video's timeline starts at 0, so all entries count.
    for (let at = entries.length - 1; at >= first && entries[at]!.seconds >= start; at -= 1) {
      const entry = entries[at]!;
      if (entry.number === face) this.#steps.add(entry.seconds, probabilities(entry));
    }
    this.#counted = dropped + entries.length;
    return this.#steps;
  }
}
