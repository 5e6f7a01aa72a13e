// Where pictures come from: a camera, the screen, a file or a sample, all shown by one <video>.

import { trackNote } from "./tracks.js";

const SIDE = 320;
const QUALITY = 0.85;
const THUMB_HEIGHT = 72;

const ENDED = "The source stopped giving pictures: it was unplugged, or sharing was ended. Choose a source again.";
const NO_FILM = "This browser cannot play that file. Convert it to MP4 (H.264) or WebM, and drop it again.";
const NO_SAMPLE = "This model has no sample clip. Choose a webcam or a file, or another model.";
const ADVICE = {
  NotAllowedError: "Access was refused. Allow it in the address bar's site settings, then choose the source again.",
  NotFoundError: "No camera was found. Plug one in, or choose a file or the sample.",
  NotReadableError: "Another program is using the camera. Close it, then choose the webcam again.",
};

export class Source {
  /** onFrame({time, width, height, thumb, blob, note}): called for each captured frame, in order; wants(): whether it will be sent;
   * onEnd(words): a camera or screen gives no more. */
  constructor(video, { onFrame, wants, onEnd, fps = 25 }) {
    Object.assign(this, { video, onFrame, wants, onEnd });
    this.period = 1000 / fps;
    this.kind = null;
    this.canvas = new OffscreenCanvas(1, 1);
    this.turn = 0;
    this.ready = Promise.resolve();
  }

  /** Begins with a source: "camera", "screen", "file" (with a File), "sample" (with an address). Returns false when
   * another was chosen meanwhile. Throws Error to show. */
  async start(kind, media) {
    this.stop();
    const { turn } = this;
    let note;
    try {
      if (kind === "camera" || kind === "screen") {
        // A person may take long to allow it, and choose something else before.
        const stream = await capture(kind);
        if (turn !== this.turn) {
          release(stream);
          return false;
        }
        this.#show(stream, turn);
      } else this.video.src = typeof media === "string" ? media : URL.createObjectURL(media);
      this.video.loop = true;
      await played(this.video, kind === "sample" ? NO_SAMPLE : NO_FILM);
      note = kind === "file" ? await trackNote(media) : "";
    } catch (error) {
      if (turn !== this.turn) return false;
      this.stop();
      throw error;
    }
    if (turn !== this.turn) return false;
    Object.assign(this, { kind, note, last: 0, position: 0, clock: 0, step: this.period / 1000 });
    this.#next(turn);
    return true;
  }

  #show(stream, turn) {
    this.video.srcObject = stream;
    for (const track of stream.getTracks()) {
      track.onended = () => {
        if (turn !== this.turn) return;
        this.stop();
        this.onEnd(ENDED);
      };
    }
  }

  stop() {
    this.turn++;
    this.kind = null;
    this.video.pause();
    if (this.video.srcObject) release(this.video.srcObject);
    this.video.srcObject = null;
    if (this.video.src) {
      URL.revokeObjectURL(this.video.src);
      this.video.removeAttribute("src");
      this.video.load();
    }
  }

  /** Pauses or goes on; returns whether it plays now. */
  toggle() {
    if (this.video.paused) this.video.play();
    else this.video.pause();
    return !this.video.paused;
  }

  #next(turn) {
    this.video.requestVideoFrameCallback((now, { mediaTime }) => {
      if (turn !== this.turn) return;
      this.#next(turn);
      const time = this.#time(now, mediaTime);
      // A little slack, or a 25 fps camera would lose every other frame to rounding.
      if (now - this.last < this.period * 0.9) return;
      this.last = now;
      // Pictures are made beside each other, and handed on in the order in which they were taken.
      const [before, made] = [this.ready, this.#take(time)];
      this.ready = before.then(() => made).then((frame) => (turn === this.turn ? this.onFrame(frame) : frame.thumb?.close())).catch(reportError);
    });
  }

  /** Seconds on the source's clock: a file's own, however late the page is; it goes on where the file begins again. */
  #time(now, mediaTime) {
    if (this.video.srcObject) return now / 1000;
    let step = mediaTime - this.position;
    if (step < 0) step += this.video.duration;
    // Some files do not say how long they are.
    if (step > 0 && Number.isFinite(step)) this.step = step;
    this.position = mediaTime;
    this.clock += this.step;
    return this.clock;
  }

  /** The picture that the video shows now; one that will not be sent is not made. */
  async #take(time) {
    const { videoWidth, videoHeight } = this.video;
    const factor = Math.min(1, SIDE / Math.max(videoWidth, videoHeight));
    const width = Math.max(2, Math.round(videoWidth * factor));
    const height = Math.max(2, Math.round(videoHeight * factor));
    if (!this.wants()) return { time, width, height, blob: null };
    const { canvas } = this;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    canvas.getContext("2d").drawImage(this.video, 0, 0, width, height);
    const wide = Math.round((THUMB_HEIGHT * width) / height);
    const [blob, thumb] = await Promise.all([
      canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY }),
      createImageBitmap(canvas, { resizeWidth: wide, resizeHeight: THUMB_HEIGHT }),
    ]);
    return { time, width, height, blob, thumb, note: this.note };
  }
}

async function played(video, trouble) {
  try {
    await video.play();
  } catch (error) {
    throw new Error(trouble, { cause: error });
  }
}

const release = (stream) => stream.getTracks().forEach((track) => track.stop());

async function capture(kind) {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give cameras to secure pages only. Open this page as http://localhost, or serve it over https.");
  }
  try {
    if (kind === "screen") return await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 30 } });
    return await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 480 } } });
  } catch (error) {
    throw new Error(ADVICE[error.name] ?? `The ${kind} did not start: ${error.message}`, { cause: error });
  }
}
