/** What happens when: pictures, camera and video come in, are read, and are shown. */

import { asJson, type Answer, save } from "./export";
import { Gallery, type Item } from "./gallery";
import { Live } from "./live";
import { occlusion } from "./model/occlusion";
import type { Page } from "./page";
import type { Reader } from "./reader";
import { CameraFault, openCamera } from "./sources/camera";
import { PictureFault } from "./sources/picture";
import { element } from "./view/elements";
import { answerOf } from "./view/reading";
import { type Key, word } from "./words/words";

export class App {
  readonly #gallery: Gallery;
  readonly #video = element<HTMLVideoElement>("video");
  #item: Item | null = null;
  #live: Live | null = null;
  /** Counts what was begun, so that what comes late from before is not shown. */
  #turn = 0;

  constructor(
    private readonly page: Page,
    private readonly reader: Promise<Reader>,
  ) {
    this.#gallery = new Gallery(reader);
  }

  /** Pictures are added to those that are there; of videos the first one is played. */
  async open(files: File[]): Promise<void> {
    const video = files.find(({ type }) => type.startsWith("video/"));
    const pictures = files.filter((file) => file !== video);
    if (pictures.length) {
      const items = pictures.map((file) => ({ file }));
      this.#gallery.items.push(...items);
      await this.#readAll(items[0]!);
    } else if (video) {
      await this.#play(video);
    } else {
      this.page.complain(() => word("fault_dropped_nothing"));
    }
  }

  async useCamera(): Promise<void> {
    const turn = this.#begin();
    this.page.say(() => word("waiting_for_camera"));
    try {
      const stream = await openCamera();
      if (turn !== this.#turn) return stream.getTracks().forEach((track) => track.stop());
      this.#setMirror(true);
      this.#video.srcObject = stream;
      this.#video.controls = false;
      stream.getVideoTracks()[0]!.addEventListener("ended", () => {
        this.stop();
        this.page.complain(() => word("fault_camera_ended"));
      });
    } catch (error) {
      if (!(error instanceof CameraFault)) throw error;
      this.page.say(() => "");
      this.page.complain(() => word(error.message as Key));
      return;
    }
    await this.#follow("webcam", turn);
  }

  /** End the camera or video; what was read last stays. */
  stop(): void {
    this.#live?.stop();
    this.#video.pause();
    if (this.#video.srcObject instanceof MediaStream) this.#video.srcObject.getTracks().forEach((track) => track.stop());
    element("stop").hidden = true;
  }

  /** Read the pictures anew, after the switch that says whether each is a face already. */
  async readAnew(): Promise<void> {
    this.#gallery.forget();
    if (this.#item && !this.#live) await this.#readAll(this.#item);
  }

  /** Read the shown picture as one face. */
  async readWhole(): Promise<void> {
    if (!this.#item) return;
    await this.#gallery.readWhole(this.#item);
    await this.#choose(this.#item);
  }

  /** Find out what mattered in the chosen face. */
  async explain(): Promise<void> {
    const face = this.page.chosenFace;
    if (!face) return;
    const turn = this.#turn;
    const reader = await this.reader;
    const { size_px: side, crop_px: crop } = reader.manifest.input;
    const top = this.page.reading("", face).top;
    const shareOfTop = (shares: number[]) => this.page.reading("", { box: null, shares }).probabilities[top]!;
    const predict = (squares: Uint8Array[]) => reader.probabilities(squares);
    this.page.say(() => word("covering"));
    const map = await occlusion(predict, face.square, side, crop, shareOfTop);
    if (turn !== this.#turn) return;
    this.page.say(() => "");
    this.page.setMap(face, map, top);
    element("map").scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  async copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(asJson(this.answers()));
      this.page.say(() => word("copied"));
    } catch {
      this.page.complain(() => word("fault_copy"));
    }
  }

  download(): void {
    save(asJson(this.answers()), "readings.json");
  }

  /** Everything that was read: of all pictures, or of all frames. */
  answers(): Answer[] {
    const live = this.#live;
    if (live) {
      return live.rows.map((row) => ({
        time_seconds: row.seconds,
        face: row.number,
        ...this.page.reading(live.source, row),
      }));
    }
    return this.#gallery.items.flatMap(
      ({ seen }) => seen?.faces.map((face) => this.page.reading(seen.source, face)) ?? [],
    );
  }

  /** Everything anew after a change of settings or language. */
  refresh(): void {
    this.page.retranslate();
    this.#showPictures();
  }

  #begin(): number {
    this.stop();
    this.#live = null;
    this.#turn += 1;
    this.page.chosen = 1;
    this.page.complain(() => "");
    this.page.forgetMap();
    element("whole-offer").hidden = true;
    return this.#turn;
  }

  /** Show one picture, then read the others that have not been read. */
  async #readAll(first: Item): Promise<void> {
    this.#setMirror(false);
    await this.#choose(first);
    const turn = this.#turn;
    for (const item of [...this.#gallery.items]) {
      if (turn !== this.#turn) return;
      if (!item.seen) await this.#look(item).catch(() => {});
      this.#showPictures();
    }
  }

  async #choose(item: Item): Promise<void> {
    const turn = this.#begin();
    this.#item = item;
    const { name } = item.file;
    this.page.say(() => word("looking", { name }));
    try {
      const picture = await this.#look(item);
      if (turn !== this.#turn) return;
      const canvas = element<HTMLCanvasElement>("picture");
      canvas.width = picture.width;
      canvas.height = picture.height;
      canvas.getContext("2d")!.drawImage(picture.source, 0, 0);
      this.page.showScreen("picture");
      this.page.show(item.seen!);
      this.page.say(() => this.#found(item));
      element("whole-offer").hidden = item.seen!.faces.length > 0;
    } catch (error) {
      if (!(error instanceof PictureFault)) throw error;
      this.#gallery.items.splice(this.#gallery.items.indexOf(item), 1);
      this.#item = null;
      this.page.showScreen("nothing");
      this.page.show(null);
      this.page.say(() => "");
      this.page.complain(() => word(error.message as Key, { name }));
    }
    this.#showPictures();
  }

  #look(item: Item) {
    return this.#gallery.look(item, element<HTMLInputElement>("crops").checked);
  }

  #found({ file: { name }, seen }: Item): string {
    const face = seen?.faces[0];
    if (!seen || !face) return word("no_face", { name });
    const answer = answerOf(this.page.reading(name, face), this.page.settings.least);
    return word(seen.faces.length > 1 ? "many_faces" : "one_face", { name, answer, count: seen.faces.length });
  }

  #showPictures(): void {
    const shown = this.#live ? [] : this.#gallery.items;
    this.page.showPictures(shown, this.#item, (item) => void this.#choose(item));
  }

  async #play(file: File): Promise<void> {
    const turn = this.#begin();
    const { name } = file;
    this.#setMirror(false);
    this.page.say(() => word("looking", { name }));
    this.#video.srcObject = null;
    this.#video.src = URL.createObjectURL(file);
    this.#video.controls = true;
    try {
      await this.#follow(name, turn);
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      if (turn !== this.#turn) return;
      this.page.showScreen("nothing");
      this.page.say(() => "");
      this.page.complain(() => word("fault_not_a_video", { name }));
    }
  }

  async #follow(source: string, turn: number): Promise<void> {
    const reader = await this.reader;
    if (turn !== this.#turn) return;
    const live = new Live(source, reader, this.#video);
    this.#live = live;
    this.page.showScreen("video");
    this.page.show(null);
    this.#showPictures();
    element("stop").hidden = false;
    await this.#video.play();
    this.page.say(() => "");
    await live.run((seen) => {
      if (turn !== this.#turn) return;
      this.page.show(seen);
      const { currentTime, duration } = this.#video;
      this.page.showLive(live, currentTime, Number.isFinite(duration) ? duration : null);
    });
  }

  #setMirror(mirror: boolean): void {
    this.page.settings.mirror = mirror;
    element<HTMLInputElement>("mirror").checked = mirror;
  }
}
