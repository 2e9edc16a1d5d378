// The bench's user: sends camera and microphone, plays what returns, notes the marks of both.
// Installed as window.mienBench in an empty page of the measured server's own origin.

(() => {
  const notes = { sent: [], arrived: [], returned: [], sound: [], problems: [] };

  /** What the page and its worker both know: how to read the strip of a picture. */
  function reader() {
    const CELLS = 20; // commands/bench/markers.py draws them
    let canvas = null;

    /** Mean luma of each cell's core; commands/bench/markers.py:cell_means says the same in Python. */
    function means(luma, stride, width, rows) {
      const result = [];
      for (let cell = 0; cell < CELLS; cell++) {
        const left = (cell * width) / CELLS;
        const quarter = width / CELLS / 4;
        const from = Math.floor(left + quarter);
        const to = Math.floor(left + 3 * quarter);
        let sum = 0;
        for (let y = 0; y < rows; y++) for (let x = from; x < to; x++) sum += luma[y * stride + x];
        result.push(Math.round(sum / (rows * (to - from))));
      }
      return result;
    }

    /** The strip of a picture: its luma plane where the browser shows it, else through a canvas. */
    async function strip(frame) {
      const { width, height } = frame.visibleRect;
      const stripRows = Math.max(4, Math.floor(height / 20 / 2) * 2);
      const y = Math.floor(stripRows / 3 / 2) * 2;
      const rows = Math.max(2, Math.floor(stripRows / 3 / 2) * 2);
      if (frame.format && /^(I4|NV12)/.test(frame.format)) {
        const rect = { x: 0, y, width, height: rows };
        const buffer = new Uint8Array(frame.allocationSize({ rect }));
        const [plane] = await frame.copyTo(buffer, { rect });
        return means(buffer.subarray(plane.offset), plane.stride, width, rows);
      }
      canvas ??= new OffscreenCanvas(width, rows).getContext("2d", { willReadFrequently: true });
      if (canvas.canvas.width !== width) canvas.canvas.width = width;
      canvas.drawImage(frame, 0, y, width, rows, 0, 0, width, rows);
      const rgba = canvas.getImageData(0, 0, width, rows).data;
      const luma = new Uint8Array(width * rows);
      // Full-range grey back to video range, as the planes hold it.
      for (let i = 0; i < luma.length; i++) luma[i] = 16 + rgba[i * 4 + 1] * 0.859;
      return means(luma, width, width, rows);
    }
    return strip;
  }
  const strip = reader();

  // Every picture of both tracks is read off the main thread, which only the screen keeps busy.
  const WORKER = `
    const strip = (${reader})();
    onmessage = async ({ data: { side, readable, origin } }) => {
      const source = readable.getReader();
      for (;;) {
        const { value: frame, done } = await source.read();
        if (done) return;
        const at = performance.timeOrigin + performance.now() - origin;
        try {
          const { width, height } = frame.visibleRect;
          postMessage({ side, row: [at, width, height, await strip(frame)] });
        } finally {
          frame.close();
        }
      }
    };`;

  function watchTrack(side, track) {
    const worker = new Worker(URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" })));
    worker.onmessage = ({ data }) => notes[data.side].push(data.row);
    worker.onerror = (error) => notes.problems.push(`${side}: ${error.message}`);
    const { readable } = new MediaStreamTrackProcessor({ track, maxBufferSize: 4 });
    worker.postMessage({ side, readable, origin: performance.timeOrigin }, [readable]);
  }

  function watchReturned(video) {
    const onFrame = (_, facts) => {
      video.requestVideoFrameCallback(onFrame);
      const frame = new VideoFrame(video);
      strip(frame)
        .then((cells) =>
          notes.returned.push([
            facts.presentationTime, facts.expectedDisplayTime, facts.receiveTime ?? 0,
            facts.width, facts.height, facts.presentedFrames, cells,
          ]))
        .catch((error) => notes.problems.push(String(error)))
        .finally(() => frame.close());
    };
    video.requestVideoFrameCallback(onFrame);
  }

  // Runs on the audio thread: hands out every stretch of sound that is louder than the hum.
  const WORKLET = `
    const BEFORE = 1024, AFTER = 5120, THRESHOLD = 0.015;
    registerProcessor("marks", class extends AudioWorkletProcessor {
      constructor(options) {
        super();
        this.side = options.processorOptions.side;
        this.ring = new Float32Array(8192);
        this.written = 0;
        this.start = -1;
        this.last = 0;
      }
      process([input]) {
        const sound = input[0];
        const block = sound ? sound.length : 128;
        let energy = 0;
        for (let i = 0; i < block; i++) {
          const value = sound ? sound[i] : 0;
          energy += (value - this.last) ** 2;
          this.last = value;
          this.ring[(this.written + i) & 8191] = value;
        }
        this.written += block;
        if (this.start < 0 && Math.sqrt(energy / block) > THRESHOLD) {
          this.start = Math.max(0, this.written - block - BEFORE);
          this.origin = currentFrame + block - this.written;
        }
        if (this.start >= 0 && this.written >= this.start + BEFORE + AFTER) {
          const samples = new Int16Array(BEFORE + AFTER);
          for (let i = 0; i < samples.length; i++)
            samples[i] = Math.max(-1, Math.min(1, this.ring[(this.start + i) & 8191])) * 32767;
          this.port.postMessage({ side: this.side, frame: this.start + this.origin, samples },
            [samples.buffer]);
          this.start = -1;
        }
        return true;
      }
    });`;

  async function watchSound(local, remote) {
    const context = new AudioContext({ sampleRate: 48000, latencyHint: "interactive" });
    await context.resume();
    const source = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
    await context.audioWorklet.addModule(source);
    for (const [side, stream] of [["sent", local], ["returned", remote]]) {
      const node = new AudioWorkletNode(context, "marks", {
        numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit", processorOptions: { side },
      });
      node.port.onmessage = ({ data }) => {
        const bytes = new Uint8Array(data.samples.buffer);
        let text = "";
        for (const byte of bytes) text += String.fromCharCode(byte);
        notes.sound.push([data.side, performance.now(), data.frame, btoa(text)]);
      };
      context.createMediaStreamSource(stream).connect(node);
    }
    return context;
  }

  async function negotiate(pc, path) {
    await pc.setLocalDescription();
    await new Promise((done) => {
      const look = () => pc.iceGatheringState === "complete" && done();
      pc.addEventListener("icegatheringstatechange", look);
      setTimeout(done, 1000);
      look();
    });
    const response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: pc.localDescription.sdp,
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text.trim()}`);
    await pc.setRemoteDescription({ type: "answer", sdp: text });
  }

  const peers = {};
  let startedAt = 0;

  async function start({ width, height, fps, maxBitrate }) {
    const local = await navigator.mediaDevices.getUserMedia({
      video: { width: { exact: width }, height: { exact: height }, frameRate: { exact: fps } },
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
    document.querySelector("#self").srcObject = local;
    startedAt = performance.now();
    const [camera] = local.getVideoTracks();
    const [microphone] = local.getAudioTracks();
    watchTrack("sent", camera.clone());

    // As the product's page sends: full resolution, and frames that matter more than detail.
    camera.contentHint = "motion";
    const up = (peers.up = new RTCPeerConnection({ bundlePolicy: "max-bundle" }));
    const { sender } = up.addTransceiver(camera, { direction: "sendonly", streams: [local] });
    up.addTransceiver(microphone, { direction: "sendonly", streams: [local] });
    const parameters = sender.getParameters();
    parameters.degradationPreference = "maintain-resolution";
    for (const encoding of parameters.encodings)
      Object.assign(encoding, { maxBitrate, scaleResolutionDownBy: 1, maxFramerate: fps });
    await sender.setParameters(parameters);
    await negotiate(up, "/session");

    const down = (peers.down = new RTCPeerConnection({ bundlePolicy: "max-bundle" }));
    const remote = new MediaStream();
    for (const kind of ["video", "audio"]) {
      const { receiver } = down.addTransceiver(kind, { direction: "recvonly" });
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      remote.addTrack(receiver.track);
    }
    const video = document.querySelector("#avatar");
    video.srcObject = remote;
    watchReturned(video);
    watchTrack("arrived", remote.getVideoTracks()[0].clone());
    await negotiate(down, "/whep");
    video.play().catch((error) => notes.problems.push(String(error)));
    const context = await watchSound(local, remote);
    return { startedAt, settings: camera.getSettings(), outputLatency: context.outputLatency };
  }

  function drain() {
    const taken = { ...notes, now: performance.now() };
    for (const name of Object.keys(notes)) notes[name] = [];
    return taken;
  }

  async function stats() {
    const kept = {};
    for (const [side, pc] of Object.entries(peers)) {
      for (const item of (await pc.getStats()).values()) {
        if (!["outbound-rtp", "inbound-rtp", "remote-inbound-rtp"].includes(item.type)) continue;
        kept[`${side}.${item.type}.${item.kind}`] = { ...item };
      }
    }
    return kept;
  }

  window.mienBench = { start, drain, stats };
})();
