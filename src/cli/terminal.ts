import { Presets, SingleBar } from 'cli-progress';

export interface Progress {
  update(done: number, total?: number): void;
  end(): void;
}

/** Where commands speak. Results go to standard output, everything about the way there to standard error. */
export interface Terminal {
  /** Whether a person watches: somebody to show progress to. */
  readonly isWatched: boolean;
  say(line: string): void;
  result(line: string): void;
  /** One line, or indented. */
  json(value: unknown, indent?: number): void;
  fail(line: string): void;
  /** A bar on a terminal; elsewhere nothing, so that logs stay readable. */
  progress(title: string): Progress;
}

// C0 but tab and newline, DEL and C1: a document must not steer the terminal that shows it
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to be taken out
const STEERING = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F]/g;
const CLEAR_LINE = '\r\u001B[2K';

export function terminal(): Terminal {
  const { stdout, stderr } = process;
  // `bulkhead … | head` is no failure of the command, which goes on to its end
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  const screen = { isDrawn: false };
  const write = (stream: NodeJS.WriteStream, line: string) => {
    // the bar draws itself again below
    if (screen.isDrawn) stderr.write(CLEAR_LINE);
    stream.write(`${line.replaceAll(STEERING, '\u{FFFD}')}\n`);
  };
  return {
    isWatched: stderr.isTTY === true,
    say: (line) => write(stderr, line),
    result: (line) => write(stdout, line),
    json: (value, indent) => write(stdout, escaped(JSON.stringify(value, undefined, indent))),
    fail: (line) => write(stderr, `bulkhead: ${line}`),
    progress: (title) => (stderr.isTTY ? bar(title, screen) : { update: () => {}, end: () => {} }),
  };
}

/** JSON leaves DEL and C1 as they are. */
function escaped(json: string): string {
  return json.replaceAll(/[\u007F-\u009F]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`);
}

function bar(title: string, screen: { isDrawn: boolean }): Progress {
  const shown = new SingleBar(
    {
      format: `${title} {bar} {value}/{total}`,
      hideCursor: true,
      clearOnComplete: true,
      stream: process.stderr,
    },
    Presets.shades_classic,
  );
  return {
    update: (done, total) => {
      if (!screen.isDrawn) shown.start(total ?? done, done);
      screen.isDrawn = true;
      if (total !== undefined) shown.setTotal(total);
      shown.update(done);
    },
    end: () => {
      if (screen.isDrawn) shown.stop();
      screen.isDrawn = false;
    },
  };
}
