// A button that records the microphone, shows how loud it is, and hands the upload a WAV file of 16-bit PCM.
export default {
  template: `
    <div class="row" style="width: 100%">
      <button type="button" class="record" @click="toggle">
        {{ recording ? "Stop" : "Record" }}<span class="unseen"> with the microphone</span>
      </button>
      <div class="meter grow" role="meter" aria-label="Loudness" aria-valuemin="0" aria-valuemax="100"
        :aria-valuenow="level"><i :style="{width: level + '%'}"></i></div>
      <span class="soft number" style="min-width: 6.5rem">{{ seconds.toFixed(1) }} of {{ most }} s</span>
      <p class="soft" role="status" style="flex-basis: 100%" v-if="trouble">{{ trouble }}</p>
    </div>`,
  props: { most: Number, upload: Number, resourcePath: String },
  data: () => ({ recording: false, level: 0, seconds: 0, trouble: "" }),
  unmounted() { this.gone = true; this.close(); },
  methods: {
    toggle() { return this.recording ? this.stop() : this.start(); },
    async start() {
      if (this.starting) return;  // a second click while the browser asks
      this.starting = true;
      this.trouble = "";
      try {
        if (!navigator.mediaDevices) throw new Error("this page was not opened by https or on this very machine");
        // as it is: what calls are cleaned with, the recordings of training were not
        const plain = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
        this.stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
        this.context = new AudioContext();
        if (this.gone) return this.close();  // the page has moved on while the browser asked
        await this.context.audioWorklet.addModule(`${window.path_prefix || ""}${this.resourcePath}/recorder.js`);
        if (this.gone) return this.close();
        const source = this.context.createMediaStreamSource(this.stream);
        const recorder = new AudioWorkletNode(this.context, "recorder", { numberOfOutputs: 0 });
        this.parts = [];
        recorder.port.onmessage = (message) => this.hear(message.data);
        source.connect(recorder);
        this.recording = true;
      } catch (error) {
        this.close();
        this.trouble = `The microphone cannot be used: ${error.message}. A sound file can be uploaded instead.`;
      } finally {
        this.starting = false;
      }
    },
    hear(part) {
      if (!this.recording) return;
      this.parts.push(part);
      this.seconds = this.parts.reduce((sum, one) => sum + one.length, 0) / this.context.sampleRate;
      const power = Math.sqrt(part.reduce((sum, x) => sum + x * x, 0) / part.length);
      this.level = Math.round(Math.min(100, Math.max(0, 100 + (100 * Math.log10(power + 1e-6)) / 2.5)));
      if (this.seconds >= this.most) this.stop();
    },
    stop() {
      const file = new File([wav(this.parts, this.context.sampleRate)], "microphone.wav", { type: "audio/wav" });
      this.close();
      const uploader = getElement(this.upload).$refs.qRef;
      uploader.reset();
      uploader.addFiles([file]);
    },
    close() {
      this.recording = false;
      this.level = this.seconds = 0;
      this.stream?.getTracks().forEach((track) => track.stop());
      this.context?.close();
      this.stream = this.context = null;
    },
  },
};

// RIFF's header and the samples in ±1 as whole numbers
function wav(parts, rate) {
  const count = parts.reduce((sum, part) => sum + part.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * count));
  const word = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  word(0, "RIFF"); view.setUint32(4, 36 + 2 * count, true); word(8, "WAVEfmt "); view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); view.setUint16(22, 1, true); view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  word(36, "data"); view.setUint32(40, 2 * count, true);
  let at = 44;
  for (const part of parts)
    for (const x of part) { view.setInt16(at, Math.round(32767 * Math.min(1, Math.max(-1, x))), true); at += 2; }
  return view.buffer;
}
