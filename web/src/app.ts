/** What happens when: pictures, camera and video come in, are read, and are shown. */

import { asJson, type Answer, save } from "./export";
import { Gallery, type Item } from "./gallery";
import { Live } from "./live";
import { occlusion } from "./model/occlusion";
import type { Page } from "./page";
import { LoadFault, type Reader } from "./reader";
import { CameraFault, openCamera } from "./sources/camera";
import { PictureFault } from "./sources/picture";
import { element } from "./view/elements";
import { answerOf } from "./view/reading";
import { type Key, list, word } from "./words/words";

export class App {
  readonly #gallery: Gallery;
  readonly #video = element<HTMLVideoElement>("video");
  #item: Item | null = null;
  #live: Live | null = null;
  /** Counts what was begun or stopped, so that what comes late from before is not shown. */
  #turn = 0;

  constructor(
    private readonly page: Page,
    private readonly reader: Promise<Reader>,
  ) {
    this.#gallery = new Gallery(reader);
  }

  /** Pictures are added to those that are there; where there are none the first video is played. */
  async open(files: File[]): Promise<void> {
    this.page.clearFaults();
    const pictures = files.filter(({ type }) => type.startsWith("image/"));
    const videos = files.filter(({ type }) => type.startsWith("video/"));
    const others = files.filter((file) => !pictures.includes(file) && !videos.includes(file));
    if (others.length === files.length) return this.page.complain(() => word("fault_dropped_nothing"));
    const played = pictures.length ? undefined : videos.shift();
    this.#leaveOut("fault_one_video", videos);
    this.#leaveOut("fault_left_out", others);
    await (played ? this.#play(played) : this.#readAll(this.#gallery.add(pictures)));
  }

  async useCamera(): Promise<void> {
    this.page.clearFaults();
    const turn = this.#begin();
    element("stop").hidden = false;
    this.page.say(() => word("loading"));
    let stream: MediaStream | null = null;
    try {
      // The camera is not switched on before there is something to read it with.
      const reader = await this.reader;
      if (turn !== this.#turn) return;
      this.page.say(() => word("waiting_for_camera"));
      stream = await openCamera();
      if (turn !== this.#turn) return;
      this.#setMirror(true);
      this.#video.srcObject = stream;
      this.#video.controls = false;
      stream.getVideoTracks()[0]!.addEventListener("ended", () => {
        this.stop();
        this.page.complain(() => word("fault_camera_ended"));
      });
      await this.#follow("webcam", reader, turn);
    } catch (error) {
      // What comes late from what was stopped concerns nobody.
      if (turn !== this.#turn) return;
      this.stop();
      if (error instanceof CameraFault) this.page.complain(() => word(error.message as Key));
      else if (!(error instanceof LoadFault)) throw error;
    } finally {
      // However it ended, the camera is off.
      stream?.getTracks().forEach((track) => track.stop());
    }
  }

  /** End the camera or video, also one that is still waited for; what was read last stays. */
  stop(): void {
    this.#turn += 1;
    this.#live?.stop();
    this.#video.pause();
    const stream = this.#video.srcObject;
    if (stream instanceof MediaStream) stream.getTracks().forEach((track) => track.stop());
    const button = element("stop");
    const focused = document.activeElement === button;
    button.hidden = true;
    // A button that is gone takes the focus with it.
    if (focused) element("camera").focus();
    this.page.say(() => "");
  }

  /** Read the pictures anew, after the switch that says whether each is a face already. */
  async readAnew(): Promise<void> {
    this.page.clearFaults();
    this.#gallery.forget();
    const others = this.#gallery.items.filter((item) => item !== this.#item);
    if (!this.#live) await this.#readAll(this.#item ? [this.#item, ...others] : others);
  }

  /** Read the shown picture as one face. */
  async readWhole(): Promise<void> {
    if (!this.#item) return;
    const button = element("read-whole");
    const focused = document.activeElement === button;
    await this.#gallery.readWhole(this.#item);
    await this.#choose(this.#item);
    // The offer is gone, though browsers take a moment to notice; what can be asked next gets its focus.
    const free = [button, document.body].includes(document.activeElement as HTMLElement);
    if (focused && free) element("explain").focus();
  }

  /** Find out what mattered in the chosen face. */
  async explain(): Promise<void> {
    const face = this.page.chosenFace;
    if (!face) return;
    // A camera may be stopped meanwhile: the face is still there.
    const shown = () => this.#live ?? this.#item?.seen;
    const asked = shown();
    const reader = await this.reader;
    const { size_px: side, crop_px: crop } = reader.manifest.input;
    const top = this.page.reading("", face).top;
    const shareOfTop = (shares: number[]) => this.page.reading("", { box: null, shares }).probabilities[top]!;
    const predict = (squares: Uint8Array[]) => reader.probabilities(squares);
    const before = this.page.say(() => word("covering"));
    const map = await occlusion(predict, face.square, side, crop, shareOfTop);
    if (shown() !== asked) return;
    this.page.say(before);
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

  #leaveOut(fault: "fault_one_video" | "fault_left_out", files: File[]): void {
    if (files.length) this.page.complain(() => word(fault, { names: list(files.map(({ name }) => name)) }));
  }

  #begin(): number {
    this.stop();
    this.#live = null;
    this.page.chosen = 1;
    this.page.forgetMap();
    if (this.#video.src) URL.revokeObjectURL(this.#video.src);
    element("whole-offer").hidden = true;
    return this.#turn;
  }

  /** Read pictures in turn; the first that can be shown is. */
  async #readAll(items: Item[]): Promise<void> {
    this.#setMirror(false);
    let showing = false;
    for (const item of items) {
      if (showing) await this.#look(item).catch((error: unknown) => this.#refuse(item, error));
      else showing = await this.#choose(item);
      // A camera or a video that has begun meanwhile needs all the time there is.
      if (this.#live) return;
      this.#showPictures();
    }
  }

  /** Show a picture. Returns whether it can be shown, or another one is meanwhile. */
  async #choose(item: Item): Promise<boolean> {
    const turn = this.#begin();
    this.#item = item;
    this.page.say(() => word("looking", { name: item.file.name }));
    this.#showPictures();
    try {
      const picture = await this.#look(item);
      if (turn !== this.#turn) return true;
      const canvas = element<HTMLCanvasElement>("picture");
      canvas.width = picture.width;
      canvas.height = picture.height;
      canvas.getContext("2d")!.drawImage(picture.source, 0, 0);
      this.page.showScreen("picture");
      this.page.show(item.seen!);
      this.page.say(() => this.#found(item));
      element("whole-offer").hidden = item.seen!.faces.length > 0;
    } catch (error) {
      this.#refuse(item, error);
      if (turn !== this.#turn) return true;
      this.#item = null;
      this.page.showScreen("nothing");
      this.page.show(null);
      this.page.say(() => "");
    }
    this.#showPictures();
    return this.#item !== null;
  }

  /** Leave out a picture that cannot be read, and say why; that the networks are missing is said already. */
  #refuse(item: Item, error: unknown): void {
    this.#gallery.remove(item);
    if (error instanceof LoadFault) return;
    if (!(error instanceof PictureFault)) throw error;
    this.page.complain(() => word(error.message as Key, { name: item.file.name }));
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
    this.page.showPictures(shown, this.#item, (item) => {
      this.page.clearFaults();
      void this.#choose(item);
    });
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
      const reader = await this.reader;
      if (turn !== this.#turn) return;
      await this.#follow(name, reader, turn);
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#live = null;
      this.page.showScreen("nothing");
      this.#showPictures();
      this.page.say(() => "");
      if (error instanceof DOMException) this.page.complain(() => word("fault_not_a_video", { name }));
      else if (!(error instanceof LoadFault)) throw error;
    }
  }

  async #follow(source: string, reader: Reader, turn: number): Promise<void> {
    const live = new Live(source, reader, this.#video);
    this.#live = live;
    this.page.showScreen("video");
    this.page.show(null);
    this.#showPictures();
    await this.#video.play();
    if (turn !== this.#turn) return;
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
