import { isMainThread } from 'node:worker_threads';
import { BulkheadError } from '../errors.ts';

/**
 * Keeps onnxruntime (1.29 and later, on Linux and macOS) from reporting home: unasked, it writes a device id under
 * `~/.cache/Microsoft` and posts usage to mobile.events.data.microsoft.com ten seconds after it was loaded.
 *
 * This is the one place outside config that touches `process.env`, and it only writes. The native library reads the
 * process's real environment while it loads. A worker holds a copy of `process.env`, so what is set there (as
 * transformers does) comes too late to be seen: the variable has to be set on the main thread, before any worker
 * starts.
 *
 * @throws {BulkheadError} `internal` when called from a worker thread, where it would have no effect
 */
export function silenceOnnxRuntime(): void {
  if (!isMainThread) {
    throw new BulkheadError('internal', 'The embedding model can only be opened from the main thread.');
  }
  process.env.ORT_DISABLE_TELEMETRY = '1';
}
