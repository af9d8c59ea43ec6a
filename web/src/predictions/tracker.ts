/** Tracks faces from frame to frame and smooths their probabilities over time. */

import { type Box, sharedWithSmaller } from "../faces/box";
import { mixed } from "../heads/votes";
import type { PredictedFace } from "./predictor";

/** A face that was detected and classified in a frame. */
type FrameFace = PredictedFace & { box: Box };

export interface Track extends FrameFace {
  number: number;
  /** Time of the last detection, in seconds of the video. */
  seconds: number;
  /** Time of the first miss since the last detection. */
  missed?: number;
  /** The face was missed where another face is, so it is hidden until it is detected again. */
  covered?: boolean;
}

/**
 * Largest distance that the centre of a face may move between two frames, in sides of its box: `atOnce` plus
 * `perSecond`, limited to `most`. Frames may be so far apart that the boxes do not overlap.
 */
const REACH = { atOnce: 0.55, perSecond: 1, most: 1 };

/** Largest ratio between the sizes of two boxes of the same face. */
const MAX_GROWTH = 1.8;

/** The detector sometimes misses a face; its last box is then shown for this time. */
export const SHOWN_SECONDS = 0.25;

/** It is hidden if a detected face covers more than this fraction of the smaller box: likely the same face. */
export const MAX_COVERED = 0.2;

/** A face that is detected again within this time after its first miss keeps its number, as in mien.video.tracker. */
const PATIENCE_SECONDS = 1;

/** Time after which old probabilities have half of the weight, at any frame rate, as in mien.video.tracker. */
const HALF_LIFE_SECONDS = 0.2;

export class Tracker {
  #tracks: Track[] = [];
  #next = 1;

  /** Add the faces of the next frame. Returns their tracks, in the order of the faces. */
  update(faces: FrameFace[], seconds: number): Track[] {
    const matches = matched(faces, this.#tracks, seconds);
    const current = faces.map((face, index): Track => {
      const track = matches.get(index);
      if (!track) return { ...face, number: this.#next++, seconds };
      const weight = 1 - 2 ** (-Math.abs(seconds - track.seconds) / HALF_LIFE_SECONDS);
      const probabilities = mixed(face.probabilities, track.probabilities, weight);
      return { ...face, probabilities, number: track.number, seconds };
    });
    const seen = new Set(matches.values());
    const isCovered = ({ box }: Track) => current.some((face) => sharedWithSmaller(box, face.box) > MAX_COVERED);
    const missed = this.#tracks
      .filter((track) => !seen.has(track))
      .map((track) => ({ ...track, missed: track.missed ?? seconds, covered: track.covered || isCovered(track) }))
      // After a jump in the video, all faces get new numbers.
      .filter((track) => Math.abs(seconds - track.missed) <= PATIENCE_SECONDS);
    this.#tracks = [...current, ...missed];
    return current;
  }

  /** The faces to show: those in the frame, then those that were missed for a moment. */
  shown(seconds: number): Track[] {
    return this.#tracks.filter((track) => !track.covered && Math.abs(seconds - track.seconds) <= SHOWN_SECONDS);
  }

  /** Boxes in which to check for faces in the next frame. */
  known(): Box[] {
    return this.#tracks.filter(({ covered }) => !covered).map(({ box }) => box);
  }
}

/** Match faces to tracks, nearest pairs first; returns the track of each matched face by its index. */
function matched(faces: FrameFace[], tracks: Track[], seconds: number): Map<number, Track> {
  const pairs = tracks.flatMap((track) => {
    const reach = Math.min(REACH.atOnce + REACH.perSecond * Math.abs(seconds - track.seconds), REACH.most);
    return faces.map(({ box }, index) => ({ track, index, distance: distance(box, track.box) })).filter((pair) => pair.distance <= reach);
  });
  const matches = new Map<number, Track>();
  const taken = new Set<Track>();
  for (const { track, index } of pairs.sort((one, other) => one.distance - other.distance)) {
    if (matches.has(index) || taken.has(track)) continue;
    matches.set(index, track);
    taken.add(track);
  }
  return matches;
}

/** Distance between the centres of two boxes, in sides of a box; Infinity if the boxes differ too much in size. */
function distance(one: Box, other: Box): number {
  const [side, otherSide] = [one, other].map(({ width, height }) => (width + height) / 2) as [number, number];
  if (Math.max(side, otherSide) > MAX_GROWTH * Math.min(side, otherSide)) return Infinity;
  const across = one.left + one.width / 2 - other.left - other.width / 2;
  const down = one.top + one.height / 2 - other.top - other.height / 2;
  return (2 * Math.hypot(across, down)) / (side + otherSide);
}
