/** Which face of a frame is which of the frame before, and a calmer answer over several frames. */

import { type Box, overlap } from "../faces/box";

export interface Track {
  number: number;
  box: Box;
  shares: number[];
  missed: number;
}

/** Boxes of one face in consecutive frames share at least this much of their joint area. */
const SAME_FACE = 0.3;

/** A face that is not found for as many frames is forgotten. */
const FORGET_AFTER = 15;

/** What a new frame counts for: after three frames, what was before counts for a fifth. */
const NEW = 0.4;

export class Tracks {
  #tracks: Track[] = [];
  #next = 1;

  /** Take in the faces of the next frame. Returns their tracks, in the order of the faces. */
  update(faces: { box: Box; shares: number[] }[]): Track[] {
    const free = new Set(this.#tracks);
    const current = faces.map(({ box, shares }) => {
      const track = nearest(box, free);
      if (!track) return { number: this.#next++, box, shares, missed: 0 };
      free.delete(track);
      const calmer = shares.map((share, index) => NEW * share + (1 - NEW) * track.shares[index]!);
      return { number: track.number, box, shares: calmer, missed: 0 };
    });
    const missed = [...free].map((track) => ({ ...track, missed: track.missed + 1 }));
    this.#tracks = [...current, ...missed.filter((track) => track.missed < FORGET_AFTER)];
    return current;
  }
}

function nearest(box: Box, tracks: Set<Track>): Track | undefined {
  let best: Track | undefined;
  let most = SAME_FACE;
  for (const track of tracks) {
    const shared = overlap(box, track.box);
    if (shared >= most) [best, most] = [track, shared];
  }
  return best;
}
