/** What happens when: pictures, camera and video come in, are read, and are shown. */

import { asJson, type Answer, save } from "./export";
import { Fault } from "./fault";
import { Gallery, type Item } from "./gallery";
import { Live } from "./live";
import { occlusion } from "./model/occlusion";
import type { Page, Shown } from "./page";
import { LoadFault, type Picture, type Reader } from "./reader";
import { openCamera } from "./sources/camera";
import { letGo, playCamera, playFile } from "./sources/video";
import { element } from "./view/elements";
import { list, word } from "./words/words";

const covering = () => word("covering");

export class App {
  readonly #gallery: Gallery;
  readonly #video = element<HTMLVideoElement>("video");
  #shown: Shown = { kind: "nothing" };
  /** Counts what was begun or stopped, so that what comes late from before is not shown. */
  #turn = 0;
  #readingRest = false;
  /** What is said below what is on the screen. */
  readonly #found = () => (this.#shown.kind === "picture" ? this.page.found(this.#shown.item) : "");

  constructor(
    private readonly page: Page,
    private readonly reader: Promise<Reader>,
  ) {
    this.#gallery = new Gallery(reader, () => element<HTMLInputElement>("crops").checked);
    // A file that is damaged midway would stop without a word. One that cannot even begin is told of by who plays it.
    this.#video.onerror = () => {
      if (this.#shown.kind !== "live" || !this.#video.src) return;
      const { source: name } = this.#shown.live;
      this.stop();
      this.page.complain(() => word("fault_video_broken", { name }));
    };
  }

  /** Pictures are added to those that are there; where there are none the first video is played. */
  async open(files: File[]): Promise<void> {
    this.page.clearFaults();
    const videos = files.filter(({ type }) => type.startsWith("video/"));
    // A file of no type that the system knows may well be a picture; if not, that is said of it by its name.
    const pictures = files.filter(({ type }) => type.startsWith("image/") || (!type && !videos.length));
    const others = files.filter((file) => !pictures.includes(file) && !videos.includes(file));
    if (others.length === files.length) return this.page.complain(() => word("fault_dropped_nothing"));
    const played = pictures.length ? undefined : videos.shift();
    this.#leaveOut("fault_one_video", videos);
    this.#leaveOut("fault_left_out", others);
    await (played ? this.#play(played) : this.#readAll(this.#gallery.add(pictures)));
  }

  async useCamera(): Promise<void> {
    this.page.clearFaults();
    const turn = this.stop();
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
      stream.getVideoTracks()[0]!.addEventListener("ended", () => {
        this.stop();
        this.page.complain(() => word("fault_camera_ended"));
      });
      this.#freeVideo();
      await playCamera(this.#video, stream);
      if (turn === this.#turn) await this.#follow("webcam", reader);
    } catch (error) {
      await this.#giveUp("webcam", error, turn);
    } finally {
      // However it ended, the camera is off.
      stream?.getTracks().forEach((track) => track.stop());
    }
  }

  /**
   * End the camera or pause the video, also one that is still waited for; what was read last stays.
   * Returns the turn of what begins now.
   */
  stop(): number {
    this.#turn += 1;
    this.#video.pause();
    const stream = this.#video.srcObject;
    if (stream instanceof MediaStream) {
      stream.getTracks().forEach((track) => track.stop());
      if (this.#shown.kind === "live") this.#shown.live.stop();
    }
    const button = element("stop");
    const focused = document.activeElement === button;
    button.hidden = true;
    // A button that is gone takes the focus with it.
    if (focused) element("camera").focus();
    this.page.say(this.#found);
    return this.#turn;
  }

  /** Read the pictures anew, after the switch that says whether each is a face already. */
  async readAnew(): Promise<void> {
    this.page.clearFaults();
    this.#gallery.forget();
    // Beside a camera or a video they wait until a picture is wanted again.
    if (this.#shown.kind !== "live") await this.#readAll(this.#shown.kind === "picture" ? [this.#shown.item] : []);
  }

  /** Read the shown picture as one face. */
  async readWhole(): Promise<void> {
    if (this.#shown.kind !== "picture") return;
    const shown = this.#shown;
    const { item } = shown;
    const button = element("read-whole");
    const focused = document.activeElement === button;
    try {
      await this.#gallery.readWhole(item);
    } catch (error) {
      return this.#refuse(item, error);
    }
    if (this.#shown !== shown) return this.#showPictures();
    this.#show({ kind: "picture", item });
    // The offer is gone, though browsers take a moment to notice; what can be asked next gets its focus.
    const free = [button, document.body].includes(document.activeElement as HTMLElement);
    if (focused && free) element("explain").focus();
  }

  /** Find out what mattered in the chosen face. */
  async explain(): Promise<void> {
    const face = this.page.chosenFace;
    const seen = this.page.seen;
    if (!face || !seen) return;
    // A camera may be stopped meanwhile: the face is still there.
    const asked = this.#shown;
    const { scheme } = this.page.settings;
    this.page.say(covering);
    try {
      const reader = await this.reader;
      const { size_px: side, crop_px: crop } = reader.manifest.input;
      const top = this.page.reading("", face).top;
      const shareOfTop = (shares: number[]) => this.page.reading("", { box: null, shares }).probabilities[top]!;
      const predict = (squares: Uint8Array[]) => reader.probabilities(squares);
      const map = await occlusion(predict, face.square, side, crop, shareOfTop);
      // A map is of the reading that it was asked for, which another face or other classes have replaced.
      const now = this.page.chosenFace ?? face;
      if (this.#shown !== asked || now.number !== face.number || this.page.settings.scheme !== scheme) return;
      this.page.setMap(face, map, top);
      element("map").scrollIntoView({ block: "nearest" });
    } catch (error) {
      this.#complain(seen.source, error);
    } finally {
      this.page.unsay(covering, this.#found);
    }
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
    if (this.#shown.kind === "live") {
      const { live } = this.#shown;
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

  /** Show the first of some pictures that can be shown, and read all that have not been read. */
  async #readAll(pictures: Item[]): Promise<void> {
    this.#showPictures();
    for (const item of pictures) if (await this.#choose(item)) break;
    this.#showPictures();
    // Who reads the rest already comes to these as well.
    if (this.#readingRest) return;
    this.#readingRest = true;
    // A camera or a video that has begun meanwhile needs all the time there is.
    while (this.#shown.kind !== "live") {
      const item = this.#gallery.items.find(({ seen }) => !seen);
      if (!item) break;
      await this.#gallery.look(item).catch((error: unknown) => this.#refuse(item, error));
      this.#showPictures();
    }
    this.#readingRest = false;
  }

  /** Show a picture. Returns whether it can be shown, or something else is wanted meanwhile. */
  async #choose(item: Item): Promise<boolean> {
    const turn = this.stop();
    this.page.say(() => word("looking", { name: item.file.name }));
    let picture: Picture;
    try {
      picture = await this.#gallery.look(item);
    } catch (error) {
      this.#refuse(item, error);
      if (turn !== this.#turn) return true;
      this.page.say(this.#found);
      return false;
    }
    if (turn !== this.#turn) return true;
    this.page.draw(picture);
    this.#show({ kind: "picture", item });
    return true;
  }

  /** Leave out a picture that cannot be read, and say why, once. */
  #refuse(item: Item, error: unknown): void {
    if (!this.#gallery.remove(item)) return;
    if (this.#shown.kind === "picture" && this.#shown.item === item) this.#show({ kind: "nothing" });
    this.#complain(item.file.name, error);
    this.#showPictures();
  }

  #showPictures(): void {
    const shown = this.#shown;
    // One alone needs no row but to lead back to it: from a camera, or where what was read was not wanted any more.
    const isAway = shown.kind === "nothing" && this.#gallery.items.some(({ seen }) => seen);
    const beside = shown.kind === "live" || isAway;
    this.page.showPictures(this.#gallery.items, shown.kind === "picture" ? shown.item : null, beside, (item) => {
      this.page.clearFaults();
      void this.#readAll([item]);
    });
  }

  async #play(file: File): Promise<void> {
    const turn = this.stop();
    const { name } = file;
    this.page.say(() => word("looking", { name }));
    try {
      const reader = await this.reader;
      if (turn !== this.#turn) return;
      this.#freeVideo();
      await playFile(this.#video, file);
      if (turn === this.#turn) await this.#follow(name, reader);
    } catch (error) {
      await this.#giveUp(name, error, turn);
    }
  }

  /** There is one video element: what it showed before goes. */
  #freeVideo(): void {
    if (this.#shown.kind === "live") this.#show({ kind: "nothing" });
    else letGo(this.#video);
  }

  /** Read what plays, frame by frame, for as long as it is on the screen. */
  async #follow(source: string, reader: Reader): Promise<void> {
    const live = new Live(source, reader, this.#video);
    const shown: Shown = { kind: "live", live };
    this.#show(shown);
    try {
      await live.run((seen) => {
        if (this.#shown !== shown) return;
        this.page.show(seen);
        const { currentTime, duration } = this.#video;
        this.page.showLive(live, currentTime, Number.isFinite(duration) ? duration : null);
      });
    } catch (error) {
      if (this.#shown !== shown) return;
      this.stop();
      this.#complain(source, error);
    }
  }

  /**
   * A camera or a video that could not begin: where nothing is shown there may be pictures.
   * What comes late from what was stopped concerns nobody.
   */
  async #giveUp(source: string, error: unknown, turn: number): Promise<void> {
    if (turn !== this.#turn) return;
    this.stop();
    if (this.#shown.kind !== "live") letGo(this.#video);
    this.#complain(source, error);
    if (this.#shown.kind === "nothing") await this.#readAll([...this.#gallery.items]);
  }

  /** Say why something could not be read; that the networks are missing is said already. */
  #complain(name: string, error: unknown): void {
    if (error instanceof LoadFault) return;
    const key = error instanceof Fault ? error.key : "fault_other";
    if (key === "fault_other") console.error(error);
    this.page.complain(() => word(key, { name, reason: String((error as Error).message ?? error) }));
  }

  /** The one place where what is on the screen is replaced. */
  #show(shown: Shown): void {
    if (this.#shown.kind === "live") this.#shown.live.stop();
    // A camera is seen as in a mirror; what the user wants of pictures stays from one to the next.
    const mirror = shown.kind === "live" && this.#video.srcObject !== null;
    if (shown.kind !== "picture" || this.#shown.kind !== "picture") this.#setMirror(mirror);
    // A file's player would have its controls mirrored too.
    element<HTMLInputElement>("mirror").disabled = shown.kind === "live" && !mirror;
    const over = this.#shown.kind === "live" && shown.kind !== "live";
    this.#shown = shown;
    // A video that nobody sees any more takes no memory.
    if (over) letGo(this.#video);
    this.page.showScreen(shown);
    this.#showPictures();
    this.page.say(this.#found);
  }

  #setMirror(mirror: boolean): void {
    this.page.settings.mirror = mirror;
    element<HTMLInputElement>("mirror").checked = mirror;
  }
}
