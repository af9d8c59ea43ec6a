/** Tracks faces from frame to frame and smooths their probabilities over time. */

import { type Box, iou, sharedWithSmaller } from "../faces/box";
import type { Probabilities } from "../model/outputs";

/** A face that was detected and classified in a frame. */
export interface FrameFace {
  box: Box;
  score: number | null;
  crop: Uint8Array;
  probabilities: Probabilities;
}

export interface Track extends FrameFace {
  number: number;
  /** When the face was detected last, in the video's time. */
  seconds: number;
  /** It was missed where another face is: it is not shown until it is detected again. */
  covered?: boolean;
}

/** Boxes of one face in consecutive frames have at least this intersection over union. */
const MIN_IOU = 0.3;

/** The detector misses a face now and then: its last box is shown for this long. */
const SHOWN_SECONDS = 0.25;

/** But not where a detected face covers more than this of the smaller box: likely it is that face, which moved fast. */
const MAX_COVERED = 0.2;

/** A face that comes back within this time keeps its number. */
const KEPT_SECONDS = 1;

/** After this time half of the smoothed probabilities is new, at any frame rate; as in mien.video.tracking. */
const HALF_LIFE_SECONDS = 0.2;

export class Tracker {
  #tracks: Track[] = [];
  #next = 1;

  /** Add the faces of the next frame. Returns their tracks, in the order of the faces. */
  update(faces: FrameFace[], seconds: number): Track[] {
    // After a jump to another time of the video, faces are new ones.
    const free = new Set(this.#within(KEPT_SECONDS, seconds));
    const current = faces.map((face) => {
      const track = bestMatch(face.box, free);
      if (!track) return { ...face, number: this.#next++, seconds };
      free.delete(track);
      const weight = 1 - 2 ** (-Math.abs(seconds - track.seconds) / HALF_LIFE_SECONDS);
      const probabilities = mix(face.probabilities, track.probabilities, weight);
      return { ...face, probabilities, number: track.number, seconds };
    });
    const isCovered = ({ box }: Track) => current.some((face) => sharedWithSmaller(box, face.box) > MAX_COVERED);
    const missed = [...free].map((track) => ({ ...track, covered: track.covered || isCovered(track) }));
    this.#tracks = [...current, ...missed];
    return current;
  }

  /** The faces to show: those of the frame, then those that were missed for a moment. */
  shown(seconds: number): Track[] {
    return this.#within(SHOWN_SECONDS, seconds).filter(({ covered }) => !covered);
  }

  #within(time: number, seconds: number): Track[] {
    return this.#tracks.filter((track) => Math.abs(seconds - track.seconds) <= time);
  }
}

/** A share `weight` of the new probabilities, and the rest of the old ones. */
function mix(fresh: Probabilities, old: Probabilities, weight: number): Probabilities {
  const mixed = (name: string, row: number[]) =>
    row.map((probability, index) => weight * probability + (1 - weight) * old[name]![index]!);
  return Object.fromEntries(Object.entries(fresh).map(([name, row]) => [name, mixed(name, row)]));
}

function bestMatch(box: Box, tracks: Set<Track>): Track | undefined {
  let best: Track | undefined;
  let highest = MIN_IOU;
  for (const track of tracks) {
    const overlap = iou(box, track.box);
    if (overlap >= highest) [best, highest] = [track, overlap];
  }
  return best;
}
