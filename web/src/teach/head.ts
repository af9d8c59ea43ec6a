/**
 * Fits a linear head on frozen features, like mien.training.head: logistic regression on each face and its mirror
 * image, with the penalty of the smallest cross-validated loss.
 */

import type { Head } from "../model/model_file";
import { deviation, dot, type Matrix, product, turned } from "./matrix";

const FOLDS = 5;
const PENALTIES = [1, 0.1, 0.01, 0.001, 0.0001];

/** Features of N faces, and of their mirror images: N * D values each, row by row. */
export interface Lesson {
  plain: Float64Array;
  mirrored: Float64Array;
  /** Index of each face's class, 0..classes - 1. Each class needs at least one face. */
  labels: number[];
  classes: number;
  /** Group of each face, such as its recording. All faces of a group are in the same fold. */
  groups: string[];
}

interface TaughtHead {
  head: Head;
  penalty: number;
  /** Class of each face, predicted by cross-validation; null if a class has a single group. */
  answers: number[] | null;
  folds: number;
}

/**
 * Fit a head. If `origin` is given, start from it, and penalise the distance of the weights from its weights. The folds
 * still start from zero, because `origin` may have been fitted to their faces.
 */
export async function teachHead(lesson: Lesson, onProgress: (done: number) => void, origin?: Head, foldOf = foldsOf(lesson)): Promise<TaughtHead> {
  const { labels, classes } = lesson;
  const width = lesson.plain.length / labels.length;
  const { mean, scale } = momentsOf(lesson.plain, width);
  const standard = (rows: Float64Array) => rows.map((value, at) => (value - mean[at % width]!) / scale[at % width]!);
  const plain = standard(lesson.plain);
  const mirrored = standard(lesson.mirrored);
  const zero = { weight: new Float64Array(classes * width), bias: new Float64Array(classes) };
  const fit = (chosen: number[], penalty: number, start: Head, from: Head, tolerance: number) => {
    const rows = Float64Array.from([plain, mirrored].flatMap((view) => chosen.map((at) => row(view, at, width))).flatMap((each) => [...each]));
    return fitHead(rows, [...chosen, ...chosen].map((at) => labels[at]!), { penalty, origin: start, from, tolerance, pause });
  };
  const pause = breather();
  const folds = foldOf ? Math.max(...foldOf) + 1 : 0;
  const faces = labels.map((_, at) => at);
  const losses = PENALTIES.map(() => 0);
  const answers = PENALTIES.map((): number[] => []);
  for (let fold = 0; fold < folds; fold += 1) {
    let head: Head = zero;
    for (const [which, penalty] of PENALTIES.entries()) {
      head = await fit(faces.filter((at) => foldOf![at] !== fold), penalty, zero, head, TOLERANCE.validated);
      for (const at of faces.filter((each) => foldOf![each] === fold)) {
        const logits = logitsOf(head, row(plain, at, width));
        losses[which]! += logSumExp(logits) - logits[labels[at]!]!;
        answers[which]![at] = logits.indexOf(Math.max(...logits));
      }
      onProgress((fold * PENALTIES.length + which + 1) / (folds * PENALTIES.length + 1));
    }
  }
  const best = folds ? losses.indexOf(Math.min(...losses)) : 0;
  const start = origin ? standardHead(origin, mean, scale) : zero;
  const { weight, bias } = await fit(faces, PENALTIES[best]!, start, start, TOLERANCE.kept);
  onProgress(1);
  const ofFeatures = weight.map((value, at) => value / scale[at % width]!);
  const shifted = bias.map((value, at) => value - dot(row(ofFeatures, at, width), mean));
  return { head: { weight: ofFeatures, bias: shifted }, penalty: PENALTIES[best]!, answers: folds ? answers[best]! : null, folds };
}

/** Compute the C logits of one face. */
export function logitsOf({ weight, bias }: Head, features: Float64Array): number[] {
  return Array.from(bias, (value, at) => value + dot(row(weight, at, features.length), features));
}

/** Return the fold of each face; null if a class has too few groups. */
function foldsOf({ labels, classes, groups }: Lesson): number[] | null {
  const groupsOf = Array.from({ length: classes }, (_, label) => new Set(groups.filter((__, at) => labels[at] === label)).size);
  const folds = Math.min(FOLDS, ...groupsOf);
  return folds < 2 ? null : dealGroups(groups, labels, classes, folds);
}

/** Largest gradient at the end of a fit. With this, the logits of the final head are exact to 1e-5. */
const TOLERANCE = { validated: 1e-5, kept: 1e-10 };
const MAX_STEPS = 100;

interface FitOptions {
  penalty: number;
  origin: Head;
  /** Initial head. */
  from: Head;
  tolerance: number;
  pause: () => Promise<void>;
}

/**
 * Minimise the mean cross-entropy of `rows` plus half the penalty times the squared distance of the weights from
 * `origin`. Newton's method, with conjugate gradients for its steps: Nocedal & Wright 2006, algorithm 7.1.
 */
async function fitHead(rows: Float64Array, labels: number[], { penalty, origin, from, tolerance, pause }: FitOptions): Promise<Head> {
  const classes = from.bias.length;
  const count = labels.length;
  const width = rows.length / count;
  const weights = classes * width;
  const columns = turned(rows, count, width);
  // In the array, the bias follows the weights.
  let now: Float64Array = Float64Array.of(...from.weight, ...from.bias);
  let { loss, gradient, shares } = at(now);
  for (let step = 0; step < MAX_STEPS && largest(gradient) > tolerance; step += 1) {
    const direction = await newtonStep(gradient, shares);
    const slope = dot(gradient, direction);
    let length = 1;
    let next = at(moved(now, direction, length));
    // Rounding makes the last digits of the loss inexact, so allow 1e-13.
    while (next.loss > loss + 1e-4 * length * slope + 1e-13 && length > 1e-6) next = at(moved(now, direction, (length /= 2)));
    now = moved(now, direction, length);
    ({ loss, gradient, shares } = next);
  }
  return { weight: now.slice(0, weights), bias: now.slice(weights) };

  function at(place: Float64Array): { loss: number; gradient: Float64Array; shares: Float64Array } {
    const shares = products(place);
    let sum = 0;
    const errors = new Float64Array(shares.length);
    labels.forEach((label, index) => {
      const first = index * classes;
      const logits = [...shares.subarray(first, first + classes)];
      const total = logSumExp(logits);
      sum += total - logits[label]!;
      logits.forEach((logit, each) => {
        shares[first + each] = Math.exp(logit - total);
        errors[first + each] = (shares[first + each]! - (each === label ? 1 : 0)) / count;
      });
    });
    const gradient = transposed(errors);
    let distance = 0;
    for (let each = 0; each < weights; each += 1) {
      const away = place[each]! - origin.weight[each]!;
      distance += away * away;
      gradient[each]! += penalty * away;
    }
    return { loss: sum / count + (penalty * distance) / 2, gradient, shares };
  }

  /** Multiply a direction by the second derivative of the loss. */
  function curved(direction: Float64Array, shares: Float64Array): Float64Array {
    const changes = products(direction);
    for (let first = 0; first < changes.length; first += classes) {
      let mean = 0;
      for (let each = first; each < first + classes; each += 1) mean += shares[each]! * changes[each]!;
      for (let each = first; each < first + classes; each += 1) changes[each] = (shares[each]! * (changes[each]! - mean)) / count;
    }
    const result = transposed(changes);
    for (let each = 0; each < weights; each += 1) result[each]! += penalty * direction[each]!;
    return result;
  }

  async function newtonStep(slope: Float64Array, shares: Float64Array): Promise<Float64Array> {
    const result = new Float64Array(slope.length);
    let residual = slope.map((value) => -value);
    let direction = residual.slice();
    let squared = dot(residual, residual);
    const enough = squared * Math.min(0.25, Math.sqrt(squared));
    for (let turn = 0; turn < slope.length && squared > enough; turn += 1) {
      await pause();
      const bent = curved(direction, shares);
      const length = squared / dot(direction, bent);
      for (let each = 0; each < result.length; each += 1) {
        result[each]! += length * direction[each]!;
        residual[each]! -= length * bent[each]!;
      }
      const before = squared;
      squared = dot(residual, residual);
      for (let each = 0; each < result.length; each += 1) direction[each] = residual[each]! + (squared / before) * direction[each]!;
    }
    return result;
  }

  /** Compute the logits of all rows with a head. */
  function products(head: Matrix): Matrix {
    const logits = turned(product(head.subarray(0, weights), columns, classes, width, count), classes, count);
    return logits.map((value, at) => value + head[weights + (at % classes)]!);
  }

  /** Compute the gradient for a head's weights and bias from the gradient for the logits. */
  function transposed(byLogits: Matrix): Matrix {
    const result = new Float64Array(weights + classes);
    result.set(product(turned(byLogits, count, classes), rows, classes, count, width));
    byLogits.forEach((value, at) => (result[weights + (at % classes)]! += value));
    return result;
  }
}

/** Convert a head for features to one for standardised features. */
function standardHead({ weight, bias }: Head, mean: Float64Array, scale: Float64Array): Head {
  const width = mean.length;
  return { weight: weight.map((value, at) => value * scale[at % width]!), bias: bias.map((value, at) => value + dot(row(weight, at, width), mean)) };
}

/** Mean and standard deviation (over N - 1) of each column, as torch computes them. */
function momentsOf(rows: Float64Array, width: number): { mean: Float64Array; scale: Float64Array } {
  const count = rows.length / width;
  const mean = new Float64Array(width);
  const squares = new Float64Array(width);
  rows.forEach((value, at) => (mean[at % width]! += value / count));
  rows.forEach((value, at) => (squares[at % width]! += (value - mean[at % width]!) ** 2));
  return { mean, scale: squares.map((sum) => Math.max(Math.sqrt(sum / (count - 1)), 1e-6)) };
}

function row(rows: Float64Array, at: number, width: number): Float64Array {
  return rows.subarray(at * width, (at + 1) * width);
}

function moved(place: Float64Array, direction: Float64Array, length: number): Float64Array {
  return place.map((value, at) => value + length * direction[at]!);
}

function largest(values: Float64Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

function logSumExp(logits: number[]): number {
  const most = Math.max(...logits);
  return most + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
}

/** Returns a function to call while computing: about thirty times a second, it lets the page react to the user. */
export function breather(): () => Promise<void> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < 30) return;
    await new Promise((resolve) => setTimeout(resolve));
    last = performance.now();
  };
}

/**
 * Deal groups into folds so that each class is spread evenly over them, like mien.data.splits.deal_groups. Equal groups
 * keep the given order. Returns the fold of each face, 0..count - 1.
 */
export function dealGroups(groups: string[], labels: number[], classes: number, count: number): number[] {
  const names = [...new Set(groups)];
  const inClass = Array.from({ length: classes }, (_, label) => labels.filter((each) => each === label).length);
  const counts = names.map(() => inClass.map(() => 0));
  groups.forEach((group, at) => (counts[names.indexOf(group)]![labels[at]!]! += 1));
  const order = names.map((_, at) => at).toSorted((one, other) => deviation(counts[other]!) - deviation(counts[one]!));
  const held = Array.from({ length: count }, () => inClass.map(() => 0));
  const sizes = held.map(() => 0);
  const foldOf = names.map(() => 0);
  order.forEach((group, done) => {
    const shares = counts[group]!.map((value, label) => value / inClass[label]!);
    const empty = sizes.filter((size) => !size).length;
    const ranks = held.map((_, fold) => {
      // Give the last groups to folds that are still empty.
      if (sizes[fold]! && order.length - done <= empty) return Infinity;
      const uneven = shares.map((share, label) => deviation(held.map((row, at) => row[label]! + (at === fold ? share : 0))));
      return Number(uneven.reduce((sum, value) => sum + value / classes, 0).toFixed(12));
    });
    const best = ranks.reduce((least, rank, fold) => (rank < ranks[least]! || (rank === ranks[least] && sizes[fold]! < sizes[least]!) ? fold : least), 0);
    foldOf[group] = best;
    shares.forEach((share, label) => (held[best]![label]! += share));
    sizes[best]! += counts[group]!.reduce((sum, value) => sum + value, 0);
  });
  return groups.map((group) => foldOf[names.indexOf(group)]!);
}
