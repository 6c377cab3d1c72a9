/** Ports that are opened at their first call: once, in order, and not any more once they are closed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fail, ok, type Outcome } from '#src/base/failure.ts';
import { openLater } from '#workers/late-port.ts';

function portOf(open = Promise.resolve()): {
  readonly port: ReturnType<typeof openLater<number, number>>;
  readonly calls: (number | string)[];
} {
  const calls: (number | string)[] = [];
  const port = openLater<number, number>(async () => {
    calls.push('open');
    await open;
    return {
      call: (request) => {
        calls.push(request);
        return Promise.resolve(ok(-request));
      },
      close: () => {
        calls.push('close');
        return Promise.resolve();
      },
    };
  });
  return { port, calls };
}

async function codeOf(outcome: Promise<Outcome<number>>): Promise<string | number> {
  const settled = await outcome;
  return settled.ok ? settled.value : settled.failure.code;
}

test('requests before and after the opening go in as they come, to one port', async () => {
  const { port, calls } = portOf();
  assert.deepEqual(calls, []);
  const answers = await Promise.all([1, 2, 3].map((request) => codeOf(port.call(request))));
  answers.push(await codeOf(port.call(4)));
  assert.deepEqual(answers, [-1, -2, -3, -4]);
  assert.deepEqual(calls, ['open', 1, 2, 3, 4]);
});

test('a request that meets the opening is not overtaken by a later one', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { port, calls } = portOf(promise);
  const first = port.call(1);
  // Asks again at the first moment at which the port may be open.
  const later = promise.then(() => port.call(2));
  resolve();
  await Promise.all([first, later]);
  assert.deepEqual(calls, ['open', 1, 2]);
});

test('a port that was closed before it was called never opens; one that is opening closes when it is open', async () => {
  const unused = portOf();
  await unused.port.close();
  assert.equal(await codeOf(unused.port.call(1)), 'INTERNAL_STOPPED');
  assert.deepEqual(unused.calls, []);
  const used = portOf();
  const answer = codeOf(used.port.call(1));
  await used.port.close();
  assert.equal(await answer, -1);
  assert.deepEqual(used.calls, ['open', 1, 'close']);
});

test('what cannot be opened answers why, to every call, and closes', async () => {
  const port = openLater<number, number>(() => fail('CONFIG_INVALID', 'no such thing'));
  assert.equal(await codeOf(port.call(1)), 'CONFIG_INVALID');
  assert.equal(await codeOf(port.call(2)), 'CONFIG_INVALID');
  await port.close();
});
