/** Return a function that runs the work given to it one after another, and returns each result. */
export function queue(): <Result>(work: () => Promise<Result>) => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work);
    // Work that fails does not end the queue.
    last = result.catch(() => {});
    return result;
  };
}
