/**
 * Compares face crops as mien.near_copies.alignment does: the correlation of their detail at the best mirroring, zoom and
 * shift, which is near 1 for copies of any brightness. A page has few crops, so all pairs are compared.
 */

import { between, deviation, dot, filled, type Matrix, product, turned } from "./matrix";

/** Smallest correlation of near-copies, and smallest standard deviation of a crop that can be compared. */
const MIN_CORRELATION = 0.91;
const MIN_CONTRAST = 8;

/** As in mien.near_copies.alignment. */
const ZOOMS = [1 / 1.11, 1 / 1.055, 1, 1.055, 1.11];
const CYCLES = { min: 2, max: 10 };
const REACH = 6 / 48;
const BLURS = [0.7 / 48, 2.5 / 48];
const UNLIKELY = 0.45;
const HOPELESS = [0.4, 0.6];
const NOTHING = 1e-6;

/** Numbers of frequencies down, and across. */
const DOWN = CYCLES.max + 1;
const ACROSS = 2 * CYCLES.max + 1;

/** Real and imaginary parts, one after the other. */
type Spectrum = Matrix;

interface Placement {
  mirrored: boolean;
  zoom: number;
  down: number;
  across: number;
}

/** Returns a function that says of two crops of side * side values, by their indices, whether they are near-copies. */
export function nearCopies(crops: Uint8Array[], side: number): (one: number, other: number) => boolean {
  const compared = new Comparison(side);
  const images = crops.map((crop) => Float64Array.from(crop));
  const clear = images.map((image) => deviation(image) >= MIN_CONTRAST);
  const spectra = images.map((image, at) => (clear[at] ? ZOOMS.map((zoom) => compared.spectrum(image, zoom)) : []));
  return (one, other) => {
    if (!clear[one] || !clear[other]) return false;
    const [placement, likeness] = compared.search(spectra[one]![ZOOMS.indexOf(1)]!, spectra[other]!);
    return likeness >= UNLIKELY && compared.refine(images[one]!, images[other]!, placement) >= MIN_CORRELATION;
  };
}

class Comparison {
  readonly #shifts: number[];
  readonly #blurs: Matrix[];
  readonly #waves = new Map<number, Matrix[]>();
  /** Phases of the shifts, down and across, and of the mirror's axis: cosines and sines. */
  readonly #phases: { down: Matrix[]; across: Matrix[]; mirror: Matrix[] };

  constructor(private readonly side: number) {
    const reach = Math.max(1, Math.round(REACH * side));
    this.#shifts = Array.from({ length: 2 * reach + 1 }, (_, at) => at - reach);
    this.#blurs = BLURS.map((deviation) => {
      const weight = (distance: number) => Math.exp(-((distance / (deviation * side)) ** 2) / 2);
      const rows = filled(side, side, (row, column) => (weight(row - column) < NOTHING ? 0 : weight(row - column)));
      const sums = product(rows, new Float64Array(side).fill(1), side, side, 1);
      return rows.map((value, at) => value / sums[Math.floor(at / side)]!);
    });
    const both = (rows: number, columns: number, turns: (row: number, column: number) => number) =>
      [Math.cos, Math.sin].map((wave) => filled(rows, columns, (row, column) => wave((2 * Math.PI * turns(row, column)) / side)));
    this.#phases = {
      down: both(this.#shifts.length, DOWN, (row, column) => this.#shifts[row]! * column),
      across: both(ACROSS, this.#shifts.length, (row, column) => (row - CYCLES.max) * this.#shifts[column]!),
      mirror: both(1, ACROSS, (_, column) => -(column - CYCLES.max) * (side - 1)),
    };
  }

  /** The spectrum of an image's detail under a fading window, magnified; of length 1. */
  spectrum(image: Matrix, zoom: number): Spectrum {
    const { side } = this;
    const mean = image.reduce((sum, value) => sum + value, 0) / image.length;
    const level = image.map((value) => value - mean);
    const [fine, coarse] = this.#wavesOf(zoom).map((waves) => product(product(waves, level, 2 * DOWN, side, side), turned(waves, 2 * DOWN, side), 2 * DOWN, side, 2 * DOWN));
    const part = (down: number, across: number, sines: [0 | 1, 0 | 1]) => {
      const at = (sines[0] * DOWN + down) * 2 * DOWN + sines[1] * DOWN + across;
      return fine![at]! - coarse![at]!;
    };
    const result = new Float64Array(2 * DOWN * ACROSS);
    for (let down = 0; down < DOWN; down += 1) {
      for (let column = 0; column < ACROSS; column += 1) {
        const across = column - CYCLES.max;
        const squared = down ** 2 + across ** 2;
        if (squared < CYCLES.min ** 2 || squared > CYCLES.max ** 2) continue;
        // A real image's spectrum is symmetric: frequencies beside the axis count twice.
        const weight = Math.sqrt(down ? 2 : 1);
        const [sign, size] = [across < 0 ? -1 : 1, Math.abs(across)];
        result[down * ACROSS + column] = weight * (part(down, size, [0, 0]) - sign * part(down, size, [1, 1]));
        result[DOWN * ACROSS + down * ACROSS + column] = -weight * (part(down, size, [1, 0]) + sign * part(down, size, [0, 1]));
      }
    }
    const length = Math.max(Math.sqrt(result.reduce((sum, value) => sum + value ** 2, 0)), NOTHING);
    return result.map((value) => value / length);
  }

  /** The placement of another image, given by its spectra at all zooms, that correlates best, by low frequencies only. */
  search(one: Spectrum, others: Spectrum[]): [Placement, number] {
    const half = DOWN * ACROSS;
    const count = this.#shifts.length;
    const { down: [downCos, downSin], across: [acrossCos, acrossSin], mirror: [turnCos, turnSin] } = this.#phases;
    let best: [Placement, number] = [{ mirrored: false, zoom: 1, down: 0, across: 0 }, -Infinity];
    others.forEach((other, which) => {
      for (const mirrored of [false, true]) {
        const [real, imaginary] = [new Float64Array(half), new Float64Array(half)];
        for (let at = 0; at < half; at += 1) {
          const column = at % ACROSS;
          const from = mirrored ? at - column + ACROSS - 1 - column : at;
          let [a, b] = [other[from]!, other[half + from]!];
          if (mirrored) [a, b] = [a * turnCos![column]! - b * turnSin![column]!, a * turnSin![column]! + b * turnCos![column]!];
          // Times the conjugate.
          real[at] = one[at]! * a + one[half + at]! * b;
          imaginary[at] = one[half + at]! * a - one[at]! * b;
        }
        const by = (matrix: Matrix, phases: Matrix) => product(matrix, phases, DOWN, ACROSS, count);
        const [rc, is, rs, ic] = [by(real, acrossCos!), by(imaginary, acrossSin!), by(real, acrossSin!), by(imaginary, acrossCos!)];
        const [cosines, sines] = [rc.map((value, at) => value - is[at]!), rs.map((value, at) => value + ic[at]!)];
        const laid = product(downCos!, cosines, count, DOWN, count);
        product(downSin!, sines, count, DOWN, count).forEach((value, at) => (laid[at]! -= value));
        const top = laid.indexOf(Math.max(...laid));
        if (laid[top]! > best[1]) best = [{ mirrored, zoom: ZOOMS[which]!, down: this.#shifts[Math.floor(top / count)]!, across: this.#shifts[top % count]! }, laid[top]!];
      }
    });
    return best;
  }

  /** Improve a placement by a few Gauss-Newton steps (Lucas & Kanade, IJCAI 1981); return the correlation of detail. */
  refine(one: Matrix, other: Matrix, start: Placement): number {
    let placement = start;
    let [correlation, step] = this.#step(one, other, placement);
    for (const hopeless of HOPELESS) {
      if (correlation <= hopeless) break;
      const within = (value: number, most: number) => Math.min(Math.max(value, -most), most);
      const moved = {
        ...placement,
        zoom: placement.zoom * (1 + within(step[0]!, 0.05)),
        down: placement.down + within(step[1]!, 1.5),
        across: placement.across + within(step[2]!, 1.5),
      };
      const [better, following] = this.#step(one, other, moved);
      if (better > correlation) [correlation, placement, step] = [better, moved, following];
      else step = step.map((value) => value / 2);
    }
    return correlation;
  }

  /** The correlation at a placement, and the step in zoom, down and across that increases it. */
  #step(one: Matrix, other: Matrix, { mirrored, zoom, down, across }: Placement): [number, number[]] {
    const { side } = this;
    const facing = mirrored ? other.map((_, at) => other[at - (at % side) + side - 1 - (at % side)]!) : other;
    const laid = between(axis(side, zoom, down, true), facing, axis(side, zoom, across, true), side);
    const [rows, columns] = [down, across].map((shift) => {
      const sums = product(axis(side, zoom, shift, false), new Float64Array(side).fill(1), side, side, 1);
      return sums.map((sum) => Number(sum > 0.75));
    }) as [Matrix, Matrix];
    const [a, b] = [one, laid].map((image) => this.#details(image, rows, columns)) as [Matrix, Matrix];
    const [ab, aa, bb] = [dot(a, b), dot(a, a), dot(b, b)];
    const gain = ab / Math.max(bb, NOTHING);
    const centre = (side - 1) / 2;
    const slopes = [0, 1, 2].map(() => new Float64Array(side * side));
    for (let at = 0; at < b.length; at += 1) {
      const [row, column] = [Math.floor(at / side), at % side];
      const slope = (place: number, stride: number) => {
        const [before, after] = [place > 0 ? at - stride : at, place < side - 1 ? at + stride : at];
        return (b[after]! - b[before]!) / ((after - before) / stride);
      };
      const [toDown, toAcross] = [slope(row, side), slope(column, 1)];
      slopes[0]![at] = -gain * (toDown * (row - centre) + toAcross * (column - centre));
      slopes[1]![at] = -gain * toDown;
      slopes[2]![at] = -gain * toAcross;
    }
    const rest = a.map((value, at) => value - gain * b[at]!);
    const normal = slopes.map((each, row) => slopes.map((another, column) => dot(each, another) + (row === column ? 1e-3 : 0)));
    return [ab / Math.sqrt(Math.max(aa * bb, NOTHING)), solved(normal, slopes.map((each) => dot(each, rest)))];
  }

  /** The difference of two blurs, over the covered rows and columns only. */
  #details(image: Matrix, rows: Matrix, columns: Matrix): Matrix {
    const { side } = this;
    const inside = filled(side, side, (row, column) => rows[row]! * columns[column]!);
    const covered = image.map((value, at) => value * inside[at]!);
    const [fine, coarse] = this.#blurs.map((blur) => {
      const [wide, high] = [columns, rows].map((part) => product(blur, part, side, side, 1));
      return between(blur, covered, blur, side).map((value, at) => value / Math.max(high![Math.floor(at / side)]! * wide![at % side]!, NOTHING));
    });
    return inside.map((value, at) => value * (fine![at]! - coarse![at]!));
  }

  /** The factors of an image's detail along one axis, after magnification, for each blur: cosines, then sines. */
  #wavesOf(zoom: number): Matrix[] {
    const { side } = this;
    let waves = this.#waves.get(zoom);
    if (!waves) {
      const plain = filled(2 * DOWN, side, (row, at) => {
        const window = Math.min(Math.min(at + 1, side - at) / (side / 6), 1);
        return window * (row < DOWN ? Math.cos : Math.sin)((2 * Math.PI * (row % DOWN) * at) / side);
      });
      waves = this.#blurs.map((blur) => product(product(plain, axis(side, zoom, 0, true), 2 * DOWN, side, side), blur, 2 * DOWN, side, side));
      this.#waves.set(zoom, waves);
    }
    return waves;
  }
}

/** A matrix that magnifies an axis about its centre, then shifts it; `fill` repeats the border pixels, else they are 0. */
function axis(side: number, zoom: number, shift: number, fill: boolean): Matrix {
  const centre = (side - 1) / 2;
  return filled(side, side, (row, column) => {
    const place = centre + (row - centre - shift) / zoom;
    return Math.max(0, 1 - Math.abs((fill ? Math.min(Math.max(place, 0), side - 1) : place) - column));
  });
}

/** Solve three equations by Cramer's rule. */
function solved(matrix: number[][], values: number[]): number[] {
  const determinant = (rows: number[][]) => {
    const [a, b, c, d, e, f, g, h, i] = rows.flat() as [number, number, number, number, number, number, number, number, number];
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  };
  const whole = determinant(matrix);
  return [0, 1, 2].map((column) => determinant(matrix.map((row, at) => row.map((value, which) => (which === column ? values[at]! : value)))) / whole);
}
