/** A figure beside what it should be, missed or met. */
export interface Verdict {
  readonly what: string;
  readonly measured: string;
  readonly target: string;
  readonly met: boolean;
}

export function atMost(what: string, value: number, limit: number, unit = ''): Verdict {
  return { what, measured: `${value.toFixed(2)}${unit}`, target: `≤ ${limit}${unit}`, met: value <= limit };
}

export function atLeast(what: string, value: number, limit: number, unit = ''): Verdict {
  return { what, measured: `${value.toFixed(3)}${unit}`, target: `≥ ${limit}${unit}`, met: value >= limit };
}

export function verdictRows(verdicts: readonly Verdict[]): readonly (readonly string[])[] {
  return verdicts.map(({ what, measured, target, met }) => [what, measured, target, met ? 'yes' : 'NO']);
}
