import { Presets, SingleBar } from 'cli-progress';

export interface Progress {
  update(done: number, total?: number): void;
  end(): void;
}

/** Where commands speak. Results go to standard output, everything about the way there to standard error. */
export interface Terminal {
  say(line: string): void;
  result(line: string): void;
  fail(line: string): void;
  /** A bar on a terminal; elsewhere nothing, so that logs stay readable. */
  progress(title: string): Progress;
}

export function terminal(): Terminal {
  return {
    say: (line) => process.stderr.write(`${line}\n`),
    result: (line) => process.stdout.write(`${line}\n`),
    fail: (line) => process.stderr.write(`bulkhead: ${line}\n`),
    progress: (title) => (process.stderr.isTTY ? bar(title) : { update: () => {}, end: () => {} }),
  };
}

function bar(title: string): Progress {
  const shown = new SingleBar(
    { format: `${title} {bar} {value}/{total}`, hideCursor: true, clearOnComplete: true, stream: process.stderr },
    Presets.shades_classic,
  );
  let started = false;
  return {
    update: (done, total = done) => {
      if (!started) shown.start(total, done);
      started = true;
      shown.setTotal(total);
      shown.update(done);
    },
    end: () => {
      if (started) shown.stop();
    },
  };
}
