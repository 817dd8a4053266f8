// Speaks the protocol of src/embed/worker.ts without a model, and dies in the way that the text asks for.
import { parentPort, workerData } from 'node:worker_threads';

const ways = {
  exit: () => process.exit(3),
  throw: () => {
    throw new Error('thrown outside any request');
  },
  hang: () => {},
  fail: () => parentPort.postMessage({ kind: 'failed', message: 'not this one' }),
};

if (workerData.refuse) {
  parentPort.postMessage({ kind: 'refused', code: 'model_tampered', detail: 'config.json was changed' });
} else {
  parentPort.on('message', ({ kind, texts }) => {
    const way = ways[texts[0]];
    if (way !== undefined) way();
    else if (kind === 'count')
      parentPort.postMessage({ kind: 'counts', counts: texts.map((text) => text.length) });
    else parentPort.postMessage({ kind: 'vectors', values: Float32Array.from(texts, Number) });
  });
  parentPort.postMessage({ kind: 'ready' });
}
