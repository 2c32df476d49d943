// One GPUDevice for Glia and three.js: Glia moves particles through the field of a random network and writes their
// places straight into the buffer from which three.js draws them.
import * as glia from 'glia';
import { instanceIndex, mix, storage, vec3 } from 'three/tsl';
import * as THREE from 'three/webgpu';
import type { Stage } from './stage.ts';

const COUNT = 4096;

export async function run({ say, canvas }: Stage) {
  canvas.hidden = false;
  using gpu = await glia.Gpu.request();

  // three.js on Glia's device; it makes the buffer when it first draws.
  const renderer = new THREE.WebGPURenderer({ canvas, device: gpu.device, antialias: !gpu.adapter.software });
  renderer.setSize(640, 400, false);
  const places = new THREE.StorageBufferAttribute(new Float32Array(4 * COUNT), 4);
  const place = storage(places, 'vec4', COUNT).element(instanceIndex);
  const material = new THREE.SpriteNodeMaterial();
  material.positionNode = place.xyz;
  material.scaleNode = vec3(0.02);
  material.colorNode = mix(vec3(0.02, 0.16, 0.6), vec3(0.7, 0.09, 0.01), place.w);
  const sprites = Object.assign(new THREE.Sprite(material), { count: COUNT, frustumCulled: false });
  const scene = new THREE.Scene().add(sprites);
  const camera = new THREE.PerspectiveCamera(50, 1.6, 0.1, 10);
  camera.position.z = 3;
  await renderer.init();
  renderer.render(scene, camera);
  const { buffer } = (renderer.backend as unknown as { get(key: object): { buffer: GPUBuffer } }).get(places);

  // x ← x + 0.03 (field(3x) − 0.3x), [COUNT, 3]; drawn with how fast each moves as the fourth number.
  const random = new glia.Generator(3);
  const init = () => Float32Array.from({ length: 3 * COUNT }, () => random.normal());
  const x = new glia.Variable('places', [COUNT, 3], { init });
  const field = new glia.Sequential(new glia.Linear(3, 64), new glia.Tanh(), new glia.Linear(64, 3), new glia.Tanh());
  new glia.Parameters(field, 7); // draws the weights by a seed
  const speed = glia.sub(field.forward(glia.mul(x.tensor, 3)), glia.mul(x.tensor, 0.3));
  const next = glia.add(x.tensor, glia.mul(speed, 0.03));
  const drawn = glia.concat([next, glia.sum(glia.square(speed), { axis: 1, keepDims: true })], 1);
  using program = await glia.compile(gpu, { outputs: { drawn }, updates: [{ variable: x, value: next }] });

  const end = performance.now() + 5000;
  for (let frame = 1; performance.now() < end || frame < 10; frame++) {
    program.run({}, { outputs: { drawn: buffer } });
    renderer.render(scene, camera);
    say(`${COUNT} particles, frame ${frame}: computed and drawn on ${gpu.name}`);
    await new Promise(requestAnimationFrame);
  }
  const bitmap = canvas.toDataURL();
  renderer.dispose();
  return { bitmap };
}
