/** Which face of a frame is which of the frame before, and a calmer answer over several frames. */

import { type Box, overlap } from "../faces/box";

/** A face that was read in a frame. */
export interface FrameFace {
  box: Box;
  square: Uint8Array;
  shares: number[];
}

export interface Track extends FrameFace {
  number: number;
  /** When it was read last, in the video's time. */
  seconds: number;
}

/** Boxes of one face in consecutive frames share at least this much of their joint area. */
const SAME_FACE = 0.3;

/** The detector misses a face now and then: it is shown for as long where it was. */
const HELD_SECONDS = 0.5;

/** A face that comes back within this time keeps its number. */
const REMEMBERED_SECONDS = 1;

/** After so long half of an answer is newer, however many frames a machine manages; as in mien.inference.tracking. */
const HALF_LIFE_SECONDS = 0.2;

export class Tracks {
  #tracks: Track[] = [];
  #next = 1;

  /** Take in the faces of the next frame. Returns their tracks, in the order of the faces. */
  update(faces: FrameFace[], seconds: number): Track[] {
    // Whoever winds a video back finds other faces there.
    const free = new Set(this.#within(REMEMBERED_SECONDS, seconds));
    const current = faces.map((face) => {
      const track = nearest(face.box, free);
      if (!track) return { ...face, number: this.#next++, seconds };
      free.delete(track);
      const newer = 1 - 2 ** (-Math.abs(seconds - track.seconds) / HALF_LIFE_SECONDS);
      const shares = face.shares.map((share, index) => newer * share + (1 - newer) * track.shares[index]!);
      return { ...face, shares, number: track.number, seconds };
    });
    this.#tracks = [...current, ...free];
    return current;
  }

  /** The faces to show: those of the frame, then those that were there a moment ago. */
  shown(seconds: number): Track[] {
    return this.#within(HELD_SECONDS, seconds);
  }

  #within(time: number, seconds: number): Track[] {
    return this.#tracks.filter((track) => Math.abs(seconds - track.seconds) <= time);
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
