// A 3D avatar in a canvas: read from a VRM's bytes, moved by rigs. Imported only when one is shown.

import { GLTFLoader } from "./vendor/GLTFLoader.js";
import { VRMLoaderPlugin, VRMUtils } from "./vendor/three-vrm.module.min.js";
import {
  Box3, DirectionalLight, HemisphereLight, PerspectiveCamera, Quaternion, Scene, TextureLoader, Vector3, WebGLRenderer,
} from "./vendor/three.module.min.js";

const NECK_SHARE = 0.4; // of the head's turn, as VMC's receivers get it
const EYE_DEG = { aside: 30, up: 22 }; // how far eyes turn where a look is 1
const STEP_MOST_S = 0.1; // hair that swings takes no longer steps
const NARROW_DEG = 22; // a portrait's lens
const ENOUGH = 26; // of the 52 shapes: with fewer an avatar is moved by VRM's presets

// VRM 1's names of what is told by VRM 0's.
const PRESETS = {
  A: "aa", I: "ih", U: "ou", E: "ee", O: "oh", Blink_L: "blinkLeft", Blink_R: "blinkRight",
  Joy: "happy", Angry: "angry", Sorrow: "sad", Fun: "relaxed", surprised: "surprised",
};
const STILL = new Quaternion();

export class Figure {
  #scene = new Scene();
  #camera = new PerspectiveCamera(NARROW_DEG, 1, 0.1, 20);
  #asked = 0;
  #drawnAt = 0;
  #turn = new Quaternion();
  /** @type {Array<[string, number]>} */ #wears = []; // expressions, and which figure of a rig each takes
  /** @type {Record<string, number>} */ #places = {};

  /**
   * A figure on a canvas. Rejects with one line where the bytes are no avatar, or the browser has no WebGL.
   * @param {HTMLCanvasElement} canvas @param {ArrayBuffer} bytes
   */
  static async of(canvas, bytes) {
    let renderer;
    try {
      renderer = new WebGLRenderer({ canvas, alpha: true, antialias: true });
    } catch {
      throw new Error("this browser draws no 3D here (WebGL is off)");
    }
    let vrm, figure;
    try {
      vrm = await read(bytes);
      figure = new Figure(renderer, vrm);
      figure.drawNow(); // what can't be drawn is known here
      return figure;
    } catch (error) {
      (figure ?? renderer).dispose();
      throw vrm ? broken(error) : error;
    }
  }

  constructor(renderer, vrm) {
    this.renderer = renderer;
    this.vrm = vrm;
    this.frames = 0;
    renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    const sun = new DirectionalLight(0xfff4ea, 2.1);
    sun.position.set(-0.7, 0.9, 1.6);
    const rim = new DirectionalLight(0xe4ecff, 1.1);
    rim.position.set(1.4, 0.6, -0.6);
    this.#scene.add(vrm.scene, sun, rim, new HemisphereLight(0xffffff, 0x8d7f78, 1.35));
    vrm.scene.traverse((part) => { part.frustumCulled = false; }); // shapes move points out of their boxes
    this.resize();
  }

  /** Which figures a rig has, in their order. @param {string[]} names */
  expect(names) {
    this.#places = Object.fromEntries(names.map((name, place) => [name, place]));
    const known = new Map((this.vrm.expressionManager?.expressions ?? []).map(({ expressionName: name }) => [name.toLowerCase(), name]));
    const found = (rows) => rows.flatMap(([shape, name]) => (known.has(name.toLowerCase()) ? [[known.get(name.toLowerCase()), this.#places[shape]]] : []));
    const shapes = found(names.slice(names.indexOf("browDownLeft")).map((name) => [name, name]));
    const presets = Object.entries(PRESETS).filter(([name]) => name in this.#places);
    this.#wears = shapes.length >= ENOUGH ? shapes : found(presets);
    if (this.#wears === shapes || known.has("blinkleft")) return;
    if (known.has("blink")) this.#wears.push([known.get("blink"), this.#places.Blink_L]);
  }

  /** Stand as a rig says, and be drawn so. @param {Float32Array} rig */
  wear(rig) {
    const of = (name) => rig[this.#places[name]] ?? 0;
    const { expressionManager, lookAt } = this.vrm;
    if (of("found")) {
      for (const [name, place] of this.#wears) expressionManager.setValue(name, rig[place]);
      this.#turnHead(of("x"), of("y"), of("z"), of("w"));
      if (lookAt) {
        const aside = of("eyeLookOutLeft") - of("eyeLookInLeft") + of("eyeLookInRight") - of("eyeLookOutRight");
        const up = of("eyeLookUpLeft") + of("eyeLookUpRight") - of("eyeLookDownLeft") - of("eyeLookDownRight");
        lookAt.yaw = EYE_DEG.aside * aside / 2;
        lookAt.pitch = -EYE_DEG.up * up / 2;
      }
    }
    this.draw();
  }

  /** Draw at the screen's next turn, once however often it is asked. */
  draw() {
    this.#asked ||= requestAnimationFrame(() => {
      this.#asked = 0;
      this.drawNow();
    });
  }

  drawNow() {
    const now = performance.now();
    this.vrm.update(Math.min((now - this.#drawnAt) / 1000, STEP_MOST_S));
    this.#drawnAt = now;
    this.renderer.render(this.#scene, this.#camera);
    this.frames += 1;
    this.renderer.domElement.dataset.frames = String(this.frames);
  }

  /** Fill the canvas as large as it is laid out. */
  resize() {
    const { clientWidth: width, clientHeight: height } = this.renderer.domElement;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.#camera.aspect = width / height;
    this.#frame();
    this.draw();
  }

  dispose() {
    cancelAnimationFrame(this.#asked);
    VRMUtils.deepDispose(this.vrm.scene);
    this.renderer.dispose();
    this.renderer.forceContextLoss(); // browsers have few, and free them late
  }

  /** Look at the face from ahead: from the collar to a little above the hair, however large it is. */
  #frame() {
    const { scene, humanoid } = this.vrm;
    scene.updateWorldMatrix(true, true);
    const head = humanoid.getRawBoneNode("head").getWorldPosition(new Vector3());
    const top = new Box3().setFromObject(scene).max.y;
    const size = Math.max(top - head.y, 0.05);
    const high = 1.75 * size;
    const far = high / 2 / Math.tan(NARROW_DEG * Math.PI / 360) / Math.min(1, 1.15 * this.#camera.aspect);
    this.#camera.position.set(head.x, head.y + 0.3 * size, head.z + far);
    this.#camera.lookAt(head.x, head.y + 0.3 * size, head.z);
    this.#camera.updateProjectionMatrix();
  }

  #turnHead(x, y, z, w) {
    // VRM 0 looks along -z.
    if (this.vrm.meta.metaVersion === "0") this.#turn.set(-x, y, -z, w);
    else this.#turn.set(x, y, z, w);
    const neck = this.vrm.humanoid.getNormalizedBoneNode("neck");
    neck?.quaternion.slerpQuaternions(STILL, this.#turn, NECK_SHARE);
    this.vrm.humanoid.getNormalizedBoneNode("head").quaternion.slerpQuaternions(STILL, this.#turn, neck ? 1 - NECK_SHARE : 1);
  }
}

/** @param {Error} error of the libraries, about what they were given */
function broken(error) {
  const why = error instanceof TypeError ? "it speaks of parts that it doesn't have" : error.message;
  return new Error(`it is no whole VRM file (${why})`);
}

/** @param {ArrayBuffer} bytes */
async function read(bytes) {
  const loader = new GLTFLoader();
  loader.register((parser) => {
    parser.textureLoader = new TextureLoader(parser.options.manager); // the other kind fetches: the page's policy is against it
    return new VRMLoaderPlugin(parser);
  });
  let model;
  try {
    model = await loader.parseAsync(bytes, "");
  } catch (error) {
    throw broken(error);
  }
  const { vrm } = model.userData;
  if (!vrm?.humanoid?.getRawBoneNode("head")) throw new Error(whyNone(model.parser.json.extensions ?? {}));
  VRMUtils.rotateVRM0(vrm);
  return vrm;
}

/** Why nothing is made of a model that could be read, by its extensions. */
function whyNone({ VRMC_vrm: one, VRM: zero }) {
  const version = one?.specVersion ?? "1.0";
  if (!version.startsWith("1.0")) return `it is of VRM ${version}, and 0 and 1.0 can be shown; export it as one of them`;
  if ((one ?? zero) && !(one ?? zero).meta) return "it doesn't say whose it is (VRM's meta); export it again";
  return "it is a 3D model, but no VRM avatar with a head";
}
