import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Queue } from '#src/base/queue.ts';

test('a queue gives what a list gives, whatever the order of calls', () => {
  const call = fc.oneof(
    { weight: 3, arbitrary: fc.record({ push: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 2, arbitrary: fc.record({ shift: fc.integer({ min: 1, max: 60 }) }) },
    { weight: 1, arbitrary: fc.constant('clear' as const) },
  );
  fc.assert(
    fc.property(fc.array(call, { maxLength: 60 }), (calls) => {
      const queue = new Queue<number>();
      const list: number[] = [];
      let next = 0;
      for (const each of calls) {
        if (each === 'clear') {
          queue.clear();
          list.length = 0;
        } else if ('push' in each) {
          for (let i = 0; i < each.push; i++) {
            queue.push(next);
            list.push(next++);
          }
        } else {
          for (let i = 0; i < each.shift; i++) assert.equal(queue.shift(), list.shift());
        }
        assert.equal(queue.length, list.length);
        assert.equal(queue.peek(), list[0]);
        assert.deepEqual([...queue], list);
      }
    }),
  );
});

test('a queue that was long works on', () => {
  const queue = new Queue<number>();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 20_000; i++) queue.push(i);
    for (let i = 0; i < 20_000; i++) assert.equal(queue.shift(), i);
    assert.equal(queue.shift(), undefined);
  }
});
