// Runs beside the microphone and passes on what it hears, 2048 samples at a time.
registerProcessor("recorder", class extends AudioWorkletProcessor {
  constructor() { super(); this.heard = new Float32Array(2048); this.count = 0; }
  process(inputs) {
    for (const x of inputs[0][0] ?? []) {
      this.heard[this.count++] = x;
      if (this.count === this.heard.length) { this.port.postMessage(this.heard.slice()); this.count = 0; }
    }
    return true;
  }
});
