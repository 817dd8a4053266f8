const EVERY_MS = 5_000;

/** Says now and then on standard error how far a long step is. */
export function progress(title: string, total: number): (done: number) => void {
  const began = Date.now();
  let said = began;
  return (done) => {
    const now = Date.now();
    if (now - said < EVERY_MS && done < total) return;
    said = now;
    const rate = (done / Math.max(1, now - began)) * 1000;
    console.error(`${title}: ${done} of ${total}, ${rate.toFixed(0)} a second`);
  };
}
