import { type Command, InvalidArgumentError } from 'commander';
import type { z } from 'zod';
import type { calibrationLine, calibrationView } from '../http/index-views.ts';
import { type ApiOptions, show, withApiOptions, withClient } from './api-command.ts';
import type { ApiClient } from './client.ts';
import { table } from './layout.ts';
import { RefusedError } from './problem.ts';
import type { Progress, Terminal } from './terminal.ts';

interface CalibrateOptions extends ApiOptions {
  readonly seconds: number;
}

type Calibration = z.infer<typeof calibrationView>;

/** `bulkhead index calibrate`: the index measured, and searches planned by what was found. */
export function calibrateCommand(index: Command, terminal: Terminal): void {
  const command = index
    .command('calibrate')
    .description('measure the index on this machine and plan searches by it; best when little else runs')
    .option('--seconds <n>', 'longest time it may take, about', toSeconds, 120)
    .option('--json', "the API's answer as it is");
  withApiOptions(command, 'bulkhead index calibrate --as stefan.wolf');
  command.action(({ seconds, ...options }: CalibrateOptions) =>
    withClient(options, terminal, async (client) => {
      const progress = terminal.progress('Measuring');
      const calibration = await calibrate(client, seconds, progress).finally(() => progress.end());
      show(calibration, options, terminal, tell);
    }),
  );
}

async function calibrate(client: ApiClient, seconds: number, progress: Progress): Promise<Calibration> {
  const path = `/v1/index/calibrate?seconds=${seconds}`;
  let calibration: Calibration | undefined;
  for await (const line of await client.exchange<z.infer<typeof calibrationLine>>(path, nothingToSend())) {
    if ('error' in line) throw new RefusedError(line.error.code, line.error.detail);
    if ('calibration' in line) calibration = line.calibration;
    else progress.update(line.done, line.total);
  }
  if (calibration === undefined)
    throw new RefusedError('server_unreachable', 'The server ended its answer before the calibration did.');
  return calibration;
}

async function* nothingToSend(): AsyncGenerator<string> {}

function tell({ passages, measurements }: Calibration): readonly string[] {
  const rows = measurements.map((measured) => [
    measured.set,
    String(measured.passages),
    measured.form === 'ranges' ? `${measured.ranges} ranges` : `${measured.classes} ids`,
    measured.way,
    `${measured.ms.toFixed(1)} ms`,
    measured.recall.toFixed(3),
    measured.chosen ? 'chosen' : '',
  ]);
  return [
    ...table([['VISIBLE', 'PASSAGES', 'FILTER', 'WAY', 'MEDIAN', 'RECALL', ''], ...rows]),
    `Measured on ${passages} passages and stored: searches are planned by it within a minute.`,
  ];
}

function toSeconds(text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw new InvalidArgumentError('Give a whole number.');
  return Number(text);
}
