/** Makes a model file from named classes and their faces: features, a linear head, cross-validation. */

import { PageError } from "../page_error";
import { Classifier } from "../model/classifier";
import { type Head, headIn, withHead } from "../model/model_file";
import { toFaceCrop } from "../preprocess/input";
import { mirrored } from "../predictions/predictor";
import { breather, teachHead } from "./head";
import { nearCopies } from "./near_copies";

export interface TaughtFace {
  /** A grey face crop of side * side values. */
  crop: Uint8Array;
  side: number;
  /** The recording that it is from: similar faces of one recording stay in one fold, as do near-copies. */
  recording?: string | undefined;
}

export interface TaughtClass {
  name: string;
  faces: TaughtFace[];
}

/** A model whose head is trained further. */
export interface Origin {
  classifier: Classifier;
  head: Head;
}

export interface Taught {
  classes: TaughtClass[];
  file: Uint8Array<ArrayBuffer>;
  /** Faces by true class, then by predicted class; null if a class has a single recording or image. */
  cells: TaughtFace[][][] | null;
  /** Cross-validated accuracy, 0..1, with its 95% interval; the sample size is the number of groups. */
  accuracy: { value: number; low: number; high: number; faces: number } | null;
  /** Classes whose faces are all of one group. */
  single: string[];
  /** Name of the model that was trained further. */
  from: string | null;
}

const NAME = "taught";

/** Classes cannot be learnt; `names` are the classes in question. */
export class LessonError extends PageError {
  constructor(code: "teach-few-classes" | "teach-name-missing" | "teach-name-twice" | "teach-few-faces", readonly names: string[] = []) {
    super(code);
  }
}

/** Return a model and its head if the head can be trained further; else null. */
export function originOf(classifier: Classifier): Origin | null {
  const head = Object.keys(classifier.manifest.outputs ?? {}).length ? null : headIn(classifier.file);
  return head && { classifier, head };
}

/**
 * Learn classes that `checkClasses` accepts, on the features of `base`; start from `origin` if it has the same classes.
 * Throws PageError.
 */
export async function teach(classes: TaughtClass[], base: Classifier, origin: Origin | null, onProgress: (done: number) => void): Promise<Taught> {
  const names = classes.map(({ name }) => name);
  const places = names.map((name) => origin?.classifier.manifest.classes.indexOf(name) ?? -1);
  const goesOn = origin && places.length === origin.head.bias.length && !places.includes(-1) ? origin : null;
  const { classifier, head } = goesOn ?? { classifier: base };
  const faces = classes.flatMap((each) => each.faces);
  const labels = classes.flatMap((each, label) => each.faces.map(() => label));
  const { size_px: side } = classifier.manifest.input;
  const crops = faces.map((face) => (face.side === side ? face.crop : toFaceCrop({ width: face.side, height: face.side, data: face.crop }, side)));
  const views = [crops, crops.map((crop) => mirrored(crop, side))];
  const [plain, turned] = await Promise.all(views.map(async (view) => Float64Array.from((await classifier.features(view)).flatMap((row) => [...row]))));
  const groups = await groupsOf(faces, crops, side);
  const lesson = { plain: plain!, mirrored: turned!, labels, classes: classes.length, groups };
  const taught = await teachHead(lesson, onProgress, head && inOrder(head, places));
  const right = taught.answers?.filter((answer, at) => answer === labels[at]).length ?? 0;
  const groupCount = new Set(groups).size;
  const value = right / faces.length;
  const cells = taught.answers && names.map((_, label) => names.map((__, answer) => faces.filter((___, at) => labels[at] === label && taught.answers![at] === answer)));
  const { input, recipe } = classifier.manifest;
  const manifest = {
    ...{ schema_version: 5, name: NAME, classes: names, input, precision: classifier.manifest.precision, temperature: 1 },
    parameters: classifier.manifest.parameters,
    recipe: { name: NAME, description: "taught in the browser page", epochs: 1, input, model: recipe?.model ?? {}, tuning: { fit_head: true } },
    // Unknown values are empty, as in a predictions file.
    ...{ recipe_digest: "in the browser page", data_fingerprint: "unknown", epoch: 1, licence: classifier.manifest.licence ?? "MIT", mien_version: classifier.manifest.mien_version },
    scores: taught.answers ? { "cross-validated_accuracy": value } : {},
    created: new Date().toISOString(),
  };
  return {
    classes,
    file: withHead(classifier.file, taught.head, manifest),
    cells,
    accuracy: taught.answers && { value, ...wilson(value, groupCount), faces: faces.length },
    single: names.filter((_, label) => new Set(groups.filter((__, at) => labels[at] === label)).size < 2),
    from: goesOn && goesOn.classifier.manifest.name,
  };
}

/** The group of each face: its recording. Groups with equal or nearly equal crops are one. */
async function groupsOf(faces: TaughtFace[], crops: Uint8Array[], side: number): Promise<string[]> {
  const pause = breather();
  const areNear = nearCopies(crops, side);
  const contents = crops.map((crop) => crop.join());
  let groups = faces.map(({ recording }, at) => recording ?? contents[at]!);
  for (let at = 0; at < faces.length; at += 1) {
    for (let before = 0; before < at; before += 1) {
      const [one, other] = [groups[at]!, groups[before]!];
      if (one === other) continue;
      await pause();
      if (contents[at] === contents[before] || areNear(before, at)) groups = groups.map((group) => (group === one ? other : group));
    }
  }
  return groups;
}

/** Throw LessonError if these classes cannot be learnt. */
export function checkClasses(classes: TaughtClass[]): void {
  const names = classes.map(({ name }) => name);
  if (classes.length < 2) throw new LessonError("teach-few-classes");
  if (names.includes("")) throw new LessonError("teach-name-missing");
  const twice = names.filter((name, at) => names.indexOf(name) < at);
  if (twice.length) throw new LessonError("teach-name-twice", [...new Set(twice)]);
  const few = classes.filter(({ faces }) => faces.length < 2).map(({ name }) => name);
  if (few.length) throw new LessonError("teach-few-faces", few);
}

/** Reorder the classes of a head. */
function inOrder({ weight, bias }: Head, places: number[]): Head {
  const width = weight.length / bias.length;
  const rows = places.flatMap((place) => [...weight.subarray(place * width, (place + 1) * width)]);
  return { weight: Float64Array.from(rows), bias: Float64Array.from(places, (place) => bias[place]!) };
}

/** Compute the 95% score interval of a fraction (Wilson 1927), like mien.evaluation.metrics.wilson_interval. */
export function wilson(share: number, count: number): { low: number; high: number } {
  const squared = 1.959963984540054 ** 2;
  const centre = share + squared / (2 * count);
  const half = Math.sqrt(squared * ((share * (1 - share)) / count + squared / (4 * count ** 2)));
  const scale = 1 + squared / count;
  return { low: share ? (centre - half) / scale : 0, high: share < 1 ? (centre + half) / scale : 1 };
}
