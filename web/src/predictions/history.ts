import { likeliest } from "../heads/label";

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
