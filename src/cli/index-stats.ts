import type { Command } from 'commander';
import type { z } from 'zod';
import type { indexStatsView } from '../http/index-views.ts';
import { type ApiOptions, show, withApiOptions, withClient } from './api-command.ts';
import { table } from './layout.ts';
import type { Terminal } from './terminal.ts';

type Stats = z.infer<typeof indexStatsView>;

/** `bulkhead index stats`: what the index has to cope with, and whether its calibration still holds. */
export function statsCommand(index: Command, terminal: Terminal): void {
  const command = index
    .command('stats')
    .description('passages, classes, how scattered they have become, and how old the calibration is')
    .option('--json', "the API's answer as it is");
  withApiOptions(command, 'bulkhead index stats --as stefan.wolf');
  command.action((options: ApiOptions) =>
    withClient(options, terminal, async (client) => {
      show(await client.call<Stats>('GET', '/v1/index/stats'), options, terminal, tell);
    }),
  );
}

function tell({ passages, classes, blocks, ...stats }: Stats): readonly string[] {
  const { median, p95, largest } = stats.passages_per_class;
  const { containers, median_ranges, widest } = stats.subtrees;
  return [
    `Passages      ${passages}`,
    `Classes       ${classes}, in ${blocks} blocks of 64 ids`,
    `A class has   ${median} passages at the median, ${p95} at the 95th percentile, ${largest} at most`,
    `Contiguity    ${containers} containers, each in ${median_ranges} ${median_ranges === 1 ? 'range' : 'ranges'} of ids at the median`,
    ...widestOf(widest),
    `Waiting       ${stats.waiting} documents that the index has not taken yet`,
    `Calibration   ${calibrationOf(stats.calibration)}`,
  ];
}

/** A few ranges cost nothing; what is worth knowing is where there are many. */
function widestOf(widest: Stats['subtrees']['widest']): readonly string[] {
  const rows = widest.filter(({ ranges }) => ranges > 1);
  if (rows.length === 0) return [];
  const cells = rows.map(({ path, ranges, classes }) => [path, String(ranges), String(classes)]);
  return table([
    ['  MOST SCATTERED', 'RANGES', 'CLASSES'],
    ...cells.map(([path, ...rest]) => [`  ${path}`, ...rest]),
  ]);
}

function calibrationOf(calibration: Stats['calibration']): string {
  if (calibration === 'exact') return 'none needed: this index is exact by nature';
  if (calibration === null)
    return 'none: every search is exact, and slower than it need be. Run: bulkhead index calibrate';
  const { measured_at, grown, advice } = calibration;
  if (advice !== null) return `${measured_at}. ${advice}`;
  return grown === null ? measured_at : `${measured_at}; the index is ${grown} times as large as then`;
}
