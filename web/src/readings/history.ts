/** What was read in one face over time, in as many steps as are drawn. */

export interface Moment {
  seconds: number;
  number: number;
}

/** Shares of the expressions by steps of time. */
export class Steps {
  readonly #steps = new Map<number, { count: number; sums: Record<string, number> }>();
  readonly #likeliest = new Map<string, number>();

  constructor(
    readonly start: number,
    readonly end: number,
    readonly count: number,
  ) {}

  add(seconds: number, probabilities: Record<string, number>): void {
    const share = (seconds - this.start) / (this.end - this.start);
    const place = Math.min(Math.floor(share * this.count), this.count - 1);
    if (place < 0 || Number.isNaN(place)) return;
    const step = this.#steps.get(place) ?? { count: 0, sums: {} };
    step.count += 1;
    for (const [name, value] of Object.entries(probabilities)) step.sums[name] = (step.sums[name] ?? 0) + value;
    this.#steps.set(place, step);
    const [top] = Object.entries(probabilities).reduce((best, each) => (each[1] > best[1] ? each : best));
    this.#likeliest.set(top, (this.#likeliest.get(top) ?? 0) + 1);
  }

  /** The mean shares of each step that has any, in order. */
  means(): { step: number; shares: Record<string, number> }[] {
    return [...this.#steps]
      .sort(([one], [other]) => one - other)
      .map(([step, { count, sums }]) => ({
        step,
        shares: Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / count])),
      }));
  }

  /** The class that was likeliest in most moments. */
  mostOften(): string | null {
    return [...this.#likeliest].sort((one, other) => other[1] - one[1])[0]?.[0] ?? null;
  }
}

/** Goes over new rows alone for as long as the same is asked, since a long video has tens of thousands. */
export class History<Row extends Moment> {
  #asked: unknown[] = [];
  #steps = new Steps(0, 1, 1);
  #counted = 0;

  /**
   * The steps of one face from `start` to `end`.
   *
   * `dropped` rows were before `rows` and are no longer kept. `about` is whatever else `probabilities` depends on.
   */
  steps(
    { rows, dropped }: { rows: Row[]; dropped: number },
    face: number,
    [start, end, count]: [number, number, number],
    about: unknown,
    probabilities: (row: Row) => Record<string, number>,
  ): Steps {
    const asked = [rows, face, start, end, count, about];
    if (asked.some((each, index) => each !== this.#asked[index])) {
      this.#asked = asked;
      this.#steps = new Steps(start, end, count);
      this.#counted = 0;
    }
    const first = Math.max(this.#counted - dropped, 0);
    // Backwards: the minute of a camera is at the end. A video begins at 0, so that all of its rows are looked at.
    for (let at = rows.length - 1; at >= first && rows[at]!.seconds >= start; at -= 1) {
      const row = rows[at]!;
      if (row.number === face) this.#steps.add(row.seconds, probabilities(row));
    }
    this.#counted = dropped + rows.length;
    return this.#steps;
  }
}
